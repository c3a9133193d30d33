"""The notebooks run from their first cell to their last, and lie here without outputs."""

from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbclient of the extra `dev` is not installed")
ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 60  # of processor time: the pages say half a minute, and not every core is as fast


def run(path: Path, folder: Path) -> list[Any]:
    """The outputs of all cells, and as the last one the processor's seconds."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("import os\nprint(sum(os.times()[:4]))"))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow  # a minute for both
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each draws its pictures, and its figures are what it says."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    *outputs, seconds = run(path, tmp_path)
    printed = "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    if path.stem == "embed_and_search":
        share = float(printed.split("retrieval@1 ")[1].split()[0])
        assert share > 2 * 0.13  # chance
        assert len(pictures) == 1
        assert printed.count("Neighbour(") >= 64 // 8  # the shortest video has 64 frames
    else:
        assert "accuracy " in printed
        assert len(pictures) == 2
        assert (tmp_path / "output" / "notebook" / "classifier" / "best.pt").is_file()
    assert float(seconds["text"]) < SECONDS


def test_they_lie_here_without_outputs():
    """So that a change of a notebook is a change of its cells."""
    assert [path.stem for path in NOTEBOOKS] == ["distil_for_own_classes", "embed_and_search"]
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None
