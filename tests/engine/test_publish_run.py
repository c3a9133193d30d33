"""`kdvideo zoo publish`: a run's checkpoint becomes an entry after the run."""

from pathlib import Path

import pytest
import torch

import kdvideo
from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.engine.publish import publish_command, publish_run
from kdvideo.models import PretextHead
from kdvideo.models.spec import ModelSpec
from kdvideo.registry import BACKBONES, HEADS
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


class OwnHead(PretextHead):
    """A pretext head of a user's own."""


def own_net(**kwargs):
    """Stands for a builder of a user's own."""


def test_the_hint_imports_the_files_of_own_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Of the head as well, or the command would end in `unknown head`; each file once."""
    monkeypatch.setattr(HEADS, "_obj_map", {**dict(HEADS), "own_head": OwnHead})
    cfg = load_config()

    def told(backbone: str, head: str, **kwargs: str) -> str:
        return publish_command(cfg, ModelSpec(backbone, {}, kdvideo.ClipSpec(), head, kwargs), tmp_path)

    start, imports = f"kdvideo zoo publish {tmp_path} --name NAME", f" --import {__file__}"
    assert told("r3d_10", "pcl_head", pretext_head="pretext_head") == start
    assert told("r3d_10", "pcl_head", pretext_head="own_head") == start + imports
    assert told("r3d_10", "own_head") == start + imports
    monkeypatch.setattr(BACKBONES, "_obj_map", {**dict(BACKBONES), "own_net": own_net})
    assert told("own_net", "own_head") == start + imports
    assert told("own_net", "none") == start + imports
