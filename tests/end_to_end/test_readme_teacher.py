"""README's line that distils from a model of the hub runs as it stands, on a tiny folder in its place."""

import shutil
from pathlib import Path

import pytest
from pages import BLOCKS, SMALL
from tiny_teachers import write_teacher

from kdvideo.cli import main
from kdvideo.engine.publish import publish_run
from kdvideo.zoo import Zoo

pytest.importorskip("transformers", reason="the extra `teachers` is not installed")
COMMIT = "0123456789abcdef" * 2 + "01234567"


def test_the_line(tmp_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch):
    """Its student knows the commit that taught it, and under which licence."""
    (words,) = [
        words for block in BLOCKS if block.page == "README.md" for words in block.commands if " hf:" in " ".join(words)
    ]
    repository = words[words.index("TEACHER.WEIGHTS") + 1]
    snapshot = tmp_path / "snapshots" / COMMIT
    write_teacher("vjepa2", snapshot, licence="mit")
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: asked.append(name) or str(snapshot))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_dataset, "videos", ignore=shutil.ignore_patterns("ucfTrainTestlist"))
    assert main([*words[1:], *SMALL, "OUTPUT_DIR", "student"]) == 0
    assert set(asked) == {repository.removeprefix("hf:")}
    teacher = publish_run(Path("student"), "student.of-hub", zoo=Zoo(tmp_path / "zoo")).teacher
    assert teacher is not None
    assert (teacher["name"], teacher["licence"]) == (f"{repository}@{COMMIT}", "mit")
