"""`kdvideo zoo publish`: a run's checkpoint becomes an entry after the run."""

from pathlib import Path

import pytest
import torch

import kdvideo
from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.engine.publish import publish_run
from kdvideo.zoo.folder import Zoo


def test_published_later_is_published_the_same(tiny_overrides: list[str], tmp_path: Path):
    """The entry says what the run itself would have said, and the weights are the run's."""
    result = train(load_config(None, [*tiny_overrides, "ZOO.PUBLISH_AS", "at.once", "ZOO.LICENCE", "CC0"]))
    folder = result.output_dir
    assert main(["zoo", "publish", str(folder), "--name", "later.on"]) == 0
    entry = publish_run(folder / "checkpoint.pt", "later.too", zoo=Zoo.user(), licence="MIT")
    assert result.entry is not None
    for key in ("metrics", "protocol", "dataset", "model", "config", "params", "macs", "sha256"):
        assert getattr(entry, key) == getattr(result.entry, key), key
    assert entry.licence == "MIT"
    loaded = kdvideo.create_pcl_model("later.on", pretrained=True)
    assert torch.equal(loaded.pretext_head.fc.weight, result.model.pretext_head.fc.weight)


def test_what_cannot_be_published(tiny_overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture):
    """No file, no checkpoint, a run that has not finished, a name that is taken."""
    folder = train(load_config(None, [*tiny_overrides, "SOLVER.EPOCHS", "1"])).output_dir
    torch.save({"epoch": 1}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no pickle")
    for file, message in (
        (tmp_path / "missing.pt", "does not exist"),
        (tmp_path / "other.pt", "is no checkpoint of a run"),
        (tmp_path / "text.pt", "cannot be read"),
    ):
        assert main(["zoo", "publish", str(file), "--name", "a.b"]) == 2
        assert message in capsys.readouterr().err
    kdvideo_zoo = ["--zoo", str(tmp_path / "mine")]
    told = (folder / "log.txt").read_text().splitlines()[-1]
    assert told.endswith(f"to publish it: kdvideo zoo publish {folder} --name NAME --zoo {tmp_path / 'zoo'}")
    assert main(["zoo", "publish", str(folder), "--name", "a.b", *kdvideo_zoo]) == 0
    (folder / "facts.json").unlink()
    assert main(["zoo", "publish", str(folder), "--name", "c.d", *kdvideo_zoo]) == 2
    assert "the run has not finished, continue it with --resume" in capsys.readouterr().err
