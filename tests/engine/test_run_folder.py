"""The files of a run, read in whatever state a kill has left them."""

from pathlib import Path

import pytest

from kdvideo.config import flatten_config, get_defaults
from kdvideo.engine.run_folder import RunFolder
from kdvideo.zoo.entry import Facts

LINES = '{"epoch": 1, "loss": 2.0}\n{"epoch": 2, "loss": 1.5}\n{"epoch": 2, "final": true, "loss": 1.0}\n'


def test_an_empty_folder_is_a_run_that_has_not_begun(tmp_path: Path):
    """It has no config, no checkpoint and no facts, and metrics are an error that names the file."""
    folder = RunFolder(tmp_path)
    assert (folder.config(), folder.checkpoints(), folder.facts(), folder.is_finished) == ({}, [], None, False)
    with pytest.raises(ValueError, match=rf"{folder.metrics} is no file"):
        folder.epochs()


def test_the_final_line_is_no_epoch(tmp_path: Path):
    """Epochs and the last line are told apart, also where there is no last line yet."""
    folder = RunFolder(tmp_path)
    folder.metrics.write_text(LINES)
    assert folder.epochs() == [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.5}]
    assert folder.final() == {"epoch": 2, "final": True, "loss": 1.0}
    folder.keep_epochs(2)
    assert folder.metrics.read_text() == "".join(LINES.splitlines(keepends=True)[:2])
    assert folder.final() is None


@pytest.mark.parametrize("cut", range(1, len('{"epoch": 3}\n')))
def test_a_line_cut_short_anywhere_costs_no_other(tmp_path: Path, cut: int):
    """The epochs before it stay, and the line that is appended after a resume stands alone."""
    folder = RunFolder(tmp_path)
    folder.append_line({"epoch": 1})
    folder.append_line({"epoch": 2})
    with folder.metrics.open("a") as stream:
        stream.write('{"epoch": 3}\n'[:cut])
    whole = cut == len('{"epoch": 3}')  # but for its line end
    assert [line["epoch"] for line in folder.epochs()] == [1, 2, 3][: 2 + whole]
    folder.keep_epochs(3)
    folder.append_line({"epoch": 4})
    assert [line["epoch"] for line in folder.epochs()] == [1, 2, *([3] if whole else []), 4]


def test_a_longer_run_takes_over_the_epochs_byte_for_byte(tmp_path: Path):
    """The final line stays behind."""
    shorter, longer = RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    shorter.path.mkdir()
    shorter.metrics.write_text(LINES)
    longer.copy_epochs(shorter)
    assert longer.metrics.read_text() == "".join(LINES.splitlines(keepends=True)[:2])


def test_config_and_facts_come_back(tmp_path: Path):
    """What was written is read, and a damaged file is named."""
    folder, cfg = RunFolder(tmp_path), get_defaults()
    cfg.SEED = 7
    folder.write_config(cfg)
    facts = Facts({"a": 0.5}, protocol="p", teacher=None, dataset="d", config="", source="", licence="", classes=["x"])
    folder.write_facts(facts)
    assert flatten_config(folder.config()) == flatten_config(cfg)
    assert folder.facts() == facts
    assert folder.is_finished
    (tmp_path / "config.yaml").write_text("a: [\n")
    (tmp_path / "facts.json").write_text("[]")
    with pytest.raises(ValueError, match=r"config\.yaml is no config"):
        folder.config()
    with pytest.raises(ValueError, match=r"facts\.json holds no facts of a run, but a list"):
        folder.facts()


def test_checkpoints_come_by_age(tmp_path: Path):
    """The newest comes first, 2 before 10, and other files are none."""
    for name in ("checkpoint.10.pt", "checkpoint.pt", "checkpoint.2.pt", "checkpoint.x.pt", "best.pt"):
        (tmp_path / name).touch()
    names = [path.name for path in RunFolder(tmp_path).checkpoints()]
    assert names == ["checkpoint.pt", "checkpoint.2.pt", "checkpoint.10.pt"]


def test_all_runs_below_a_folder_are_found(tmp_path: Path):
    """A run is where its metrics are."""
    for name in ("b", "a/c"):
        (tmp_path / name).mkdir(parents=True)
        RunFolder(tmp_path / name).append_line({"epoch": 1})
    assert [run.path for run in RunFolder.find_all(tmp_path)] == [tmp_path / "a" / "c", tmp_path / "b"]
