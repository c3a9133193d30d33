"""TEACHER.SAMPLING auto is `shared` wherever that works, and then nothing tells the two apart."""

import json
from pathlib import Path

import pytest
import torch
from test_replay_runs import videos  # noqa: F401

import kdvideo
from kdvideo.config import load_config, settings_id
from kdvideo.engine.checkpoint import check_same_run
from kdvideo.engine.launch import _with_frames_chosen, train
from kdvideo.engine.replay import replay_key
from kdvideo.engine.run_folder import RunFolder
from kdvideo.models.backbone import Backbone
from kdvideo.models.spec import backbone_of
from kdvideo.study.queue import _check_same_settings


def teacher_that(takes_any_clip: bool) -> torch.nn.Module:
    """A network of 4 features."""
    model = kdvideo.create_model("r3d_10", width=4)
    backbone_of(model).takes_any_clip = takes_any_clip
    return model


def config(*overrides: str, chosen_for: bool | None = None):
    """A config; with what auto stands for where `chosen_for` says whether the teacher takes any clip."""
    cfg = load_config(None, ["DATA.ROOT", "/videos", "TASK.NAME", "distill", "TEACHER.WEIGHTS", "t.a", *overrides])
    return cfg if chosen_for is None else _with_frames_chosen(cfg, [teacher_that(chosen_for)])[0]


def test_auto_hashes_as_shared(videos):  # noqa: F811
    """The key of a store, the identity of a run and of an entry are those of a config that says shared."""
    auto, shared = config(chosen_for=True), config("TEACHER.SAMPLING", "shared")
    assert auto.dump() == shared.dump()
    assert settings_id(auto.dump()) == settings_id(shared.dump())
    keys = [
        replay_key(cfg, videos, teacher=teacher_that(True), teacher_sha256="a", device=torch.device("cpu"))
        for cfg in (auto, shared)
    ]
    assert json.dumps(keys[0]) == json.dumps(keys[1])
    former = {"sha256": "a", "device": "cpu", "sampling": "shared", "clip_spec": "", "amp": "fp32"}  # before auto
    assert keys[0]["teacher"] == former


def test_auto_is_own_where_shared_cannot_be():
    """And the caller's config keeps its auto."""
    cfg = config()
    chosen, why = _with_frames_chosen(cfg, [teacher_that(False)])
    assert (chosen.TEACHER.SAMPLING, cfg.TEACHER.SAMPLING) == ("own", "auto")
    assert why == ["the teacher takes clips of 16 frames of 112 x 112 only"]
    assert config("TEACHER.SAMPLING", "shared", chosen_for=False).TEACHER.SAMPLING == "shared"
    assert Backbone.takes_any_clip


@pytest.mark.parametrize("stored", ["shared", None])
def test_a_former_run_is_continued(stored: str | None):
    """One whose config says shared, one that is older than the key; with a teacher and without."""
    for cfg in (config(chosen_for=True), _with_frames_chosen(load_config(None, ["DATA.ROOT", "/videos"]), [])[0]):
        before = json.loads(json.dumps(cfg))
        before["TEACHER"].pop("SAMPLING")
        if stored:
            before["TEACHER"]["SAMPLING"] = stored
        check_same_run(cfg, {"config": before, "epoch_step": 0})
        assert settings_id(before) == settings_id(cfg.dump())


def test_another_sampling_is_another_run():
    """A run that shared is not continued with the teacher's own frames."""
    before = json.loads(json.dumps(config(chosen_for=True)))
    with pytest.raises(ValueError, match=r"TEACHER\.SAMPLING is 'own', the run was started with 'shared'"):
        check_same_run(config(chosen_for=False), {"config": before, "epoch_step": 0})


def test_a_run_with_auto(tiny_overrides: list[str], tmp_path: Path):
    """It stores what auto stands for, says why, and a study that says auto knows it again."""
    train(load_config(None, [*tiny_overrides, "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "t.a"]))
    options = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", "t.a", "SOLVER.EPOCHS", "1"]
    cfg = load_config(None, [*tiny_overrides, *options, "OUTPUT_DIR", str(tmp_path / "student")])
    result = train(cfg)
    assert cfg.TEACHER.SAMPLING == "auto"
    assert "SAMPLING: shared" in (result.output_dir / "config.yaml").read_text()
    log = (result.output_dir / "log.txt").read_text()
    assert "TEACHER.SAMPLING auto: shared, because the teacher takes clips of any length and size" in log
    _check_same_settings(cfg, RunFolder(result.output_dir), grid_keys=())
