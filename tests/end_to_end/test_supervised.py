"""Finetuning runs on generated videos: from pretrained weights to a published classifier, resumed, measured again."""

from pathlib import Path

import pytest
import simplejson
import torch

import kdvideo
from kdvideo.config import load_config
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.launch import train
from kdvideo.engine.run_folder import METRICS_NAME
from kdvideo.engine.trainer import Hook
from kdvideo.evaluation.classify import HeldOut

HELD_OUT = ("validation_accuracy", "validation_cross_entropy")
FINETUNE = ["TASK.NAME", "supervised", "DATA.VALIDATION_SHARE", "0.5", "SOLVER.BATCH_SIZE", "3"]


def run(overrides: list[str], *extra: str, **kwargs):
    return train(load_config(None, [*overrides, *extra]), **kwargs)


def lines_of(folder: Path) -> list[dict]:
    lines = [simplejson.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_from_pretraining_to_a_published_classifier(tiny_overrides: list[str], tmp_path: Path):
    """The backbone comes from the zoo, the head is new; the chosen epoch is measured, published, loaded."""
    run(tiny_overrides, "OUTPUT_DIR", str(tmp_path / "pcl"), "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "own.pcl")
    folder = tmp_path / "finetuned"
    finetune = [*FINETUNE, "MODEL.WEIGHTS", "own.pcl", "SOLVER.BACKBONE_LR_SCALE", "0.1", "OUTPUT_DIR", str(folder)]
    result = run(tiny_overrides, *finetune, "SOLVER.EPOCHS", "3", "ZOO.PUBLISH_AS", "own.finetuned")
    *epochs, final = lines_of(folder)
    held_out = [line["validation_cross_entropy"] for line in epochs]
    chosen = epochs[held_out.index(min(held_out))]
    assert [final[key] for key in ("epoch", *HELD_OUT)] == [chosen[key] for key in ("epoch", *HELD_OUT)]
    assert "chosen by validation_cross_entropy" in result.entry.protocol
    assert result.entry.metrics["validation_cross_entropy"] == min(held_out)
    log = (folder / "log.txt").read_text()
    assert "6 held-out videos choose the epoch, which is mostly chance below 50: raise DATA.VALIDATION_SHARE 0.5" in log
    last = f"epoch 3  validation_accuracy {epochs[-1]['validation_accuracy']:.3f}"
    assert f"{'chosen' if chosen['epoch'] == 3 else 'last'} {last}" in log
    assert {"video_accuracy_3clip", "video_accuracy_3clip_top5", "clip_accuracy"} <= set(final)
    assert not any("video_accuracy" in key for line in epochs for key in line)  # the test list is read once
    assert "own.finetuned" in kdvideo.list_models() or (tmp_path / "zoo" / "entries" / "own.finetuned.json").exists()
    assert result.entry.metrics["video_accuracy_3clip"] == final["video_accuracy_3clip"]
    measured = evaluate(load_config(None, [*tiny_overrides, "MODEL.WEIGHTS", "own.finetuned"])).metrics
    assert measured["video_accuracy_3clip"] == final["video_accuracy_3clip"]


def test_resuming_keeps_the_best_epoch(tiny_overrides: list[str], tmp_path: Path):
    """Interrupted and continued: the same lines, the same chosen weights, whatever the schedule has seen."""

    class Stop(Hook):
        def after_epoch(self, trainer, metrics):
            if trainer.epoch == 2:
                raise KeyboardInterrupt

    common = [
        *tiny_overrides,
        *FINETUNE,
        "SOLVER.EPOCHS",
        "4",
        "SOLVER.SCHEDULE",
        "plateau",
        "SOLVER.OPTIMIZER",
        "adamw",
    ]
    common += ["SOLVER.OPTIMIZER", "adamw", "SOLVER.PLATEAU_PATIENCE", "0", "SOLVER.BASE_LR", "0.001"]
    whole = run(common, "OUTPUT_DIR", str(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(common, "OUTPUT_DIR", str(tmp_path / "parts"), extra_hooks=(Stop(),))
    continued = run(common, "OUTPUT_DIR", str(tmp_path / "parts"), resume=True)
    assert lines_of(tmp_path / "parts") == lines_of(tmp_path / "whole")
    for key, value in whole.model.state_dict().items():
        assert torch.equal(continued.model.state_dict()[key], value), key


def test_the_later_of_equals_is_chosen(tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The rule before took the first epoch here: the highest accuracy, and the earliest of equals."""
    values = iter([(0.5, 1.9), (0.5, 1.2), (0.5, 1.2)])

    def measure(self, model, device):
        return dict(zip(HELD_OUT, next(values), strict=True))

    monkeypatch.setattr(HeldOut, "__call__", measure)
    run(tiny_overrides, *FINETUNE, "SOLVER.EPOCHS", "3", "OUTPUT_DIR", str(tmp_path / "run"))
    assert lines_of(tmp_path / "run")[-1]["epoch"] == 3


def test_plateau_of_pretraining_looks_at_held_out_videos(tiny_overrides: list[str], tmp_path: Path):
    """Pretext accuracy of held-out training videos, beside that of the test list."""
    options = ["SOLVER.SCHEDULE", "plateau", "DATA.VALIDATION_SHARE", "0.5", "SOLVER.EPOCHS", "1"]
    run(tiny_overrides, *options, "SOLVER.BATCH_SIZE", "3")
    assert {"pretext_accuracy", "validation_pretext_accuracy"} <= set(lines_of(tmp_path / "run")[0])


def test_a_fraction_trains_on_fewer_videos(tiny_overrides: list[str], tmp_path: Path):
    """Half of every class; the gallery of retrieval stays the whole list."""
    result = run(tiny_overrides, "DATA.FRACTION", "0.5", "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "half.own")
    assert "6 training videos" in result.entry.dataset


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["SOLVER.SCHEDULE", "plateau"], r"DATA.VALIDATION_SHARE is 0: set it"),
        (["TASK.NAME", "supervised", "DATA.NAME", "unlabelled"], r"has videos without one: choose a labelled dataset"),
        (["DATA.FRACTION", "0.0"], r"DATA.FRACTION is 0.0; it must be above 0"),
        (["SOLVER.OPTIMIZER", "adam"], r"SOLVER.OPTIMIZER: unknown optimizer 'adam': did you mean adamw"),
        (["TEACHER.LOSSES", "['batch_nce']"], r"TEACHER.LOSSES is \['batch_nce'\]; it must be a list of distillation"),
    ],
)
def test_what_cannot_work_is_said(tiny_overrides: list[str], options: list[str], message: str):
    """One line, before any step."""
    with pytest.raises(ValueError, match=message):
        run(tiny_overrides, *options)
