"""Runs that cannot go on: one line that says why, exit code 1, and the checkpoint before it whole."""

import gc
import multiprocessing
import os
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import simplejson
import torch

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.data.plan import epoch_order
from kdvideo.data.readers import outage
from kdvideo.engine.checkpoint import read_state
from kdvideo.engine.launch import train
from kdvideo.engine.run_folder import CHECKPOINT_NAME, METRICS_NAME
from kdvideo.engine.trainer import Trainer
from kdvideo.losses.nce import BatchNCE
from kdvideo.registry import LOSSES

FOUR_STEPS = ["SOLVER.BATCH_SIZE", "3", "SOLVER.EPOCHS", "3", "CONTRAST.NAME", "batch_nce"]


@pytest.fixture
def in_epoch_two(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Trainer], object]], None]:
    """Arranges that something happens once: after the last step of epoch two, before it is evaluated and saved."""

    def arrange(harm: Callable[[Trainer], object]) -> None:
        harms = [harm]

        def after_step(self: object, trainer: Trainer, scalars: object) -> None:
            if harms and (trainer.epoch, trainer.epoch_step) == (1, 4):
                harms.pop()(trainer)

        monkeypatch.setattr("kdvideo.engine.hooks.Progress.after_step", after_step)

    return arrange


def error_of(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one line that `kdvideo train` ends with."""
    capsys.readouterr()
    assert main(["train", *arguments]) == 1
    shown = capsys.readouterr().err
    lines = [line for line in shown.splitlines() if line.startswith("kdvideo: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in shown
    return lines[0].removeprefix("kdvideo: error: ")


def assert_first_epoch_is_kept(folder: Path) -> None:
    state = read_state(folder / CHECKPOINT_NAME)
    assert (state["epoch"], state["epoch_step"]) == (1, 0)
    assert all(value.isfinite().all() for value in state["student"].values())
    assert not list(folder.glob(".*.tmp"))


class _BreaksAtStep7(BatchNCE):
    """In-batch NCE that is NaN once; a loss of a user's own, as docs/extending.md shows how to register one."""

    steps = 0

    def forward(self, z, index, negatives=None):
        type(self).steps += self.training
        return super().forward(z, index, negatives) * (float("nan") if self.steps == 7 else 1)


def test_loss_that_is_not_finite(tiny_overrides: list[str], tmp_path: Path, capsys, monkeypatch):
    """Step, parts, and the numbers and names of the samples, which are those of the epoch's order."""
    monkeypatch.setattr(LOSSES, "_obj_map", {**dict(LOSSES), "breaks": _BreaksAtStep7})
    message = error_of(capsys, *tiny_overrides, *FOUR_STEPS, "CONTRAST.NAME", "breaks")
    found = re.fullmatch(
        r"loss or gradient is not finite at step 7, 3 of epoch 2 \((.*)\) with samples (.*); the checkpoint before is "
        r"kept: start again with a lower SOLVER\.BASE_LR or with SOLVER\.CLIP_GRADIENTS",
        message,
    )
    assert found, message
    assert re.search(r"loss nan, pretext_loss \d.*contrast_loss nan", found[1])
    samples = [sample.split(" ") for sample in found[2].split(", ")]
    assert [int(number) for number, _ in samples] == epoch_order(seed=0, epoch=1, num_samples=12)[6:9].tolist()
    assert all(name.endswith(".avi") for _, name in samples)
    assert_first_epoch_is_kept(tmp_path / "run")


@pytest.mark.parametrize(
    ("period", "words"),
    [("1", "the network's outputs are not finite"), ("9", r"student\.\S+ is not finite after step 8; ")],
)
def test_weights_that_are_not_finite(
    tiny_overrides: list[str], tmp_path: Path, capsys, in_epoch_two, period: str, words: str
):
    """Noticed by the evaluation, or else before they are saved."""
    in_epoch_two(lambda trainer: next(trainer.task.student.parameters()).data.fill_(float("nan")))
    assert re.match(words, error_of(capsys, *tiny_overrides, *FOUR_STEPS, "EVAL.PERIOD", period))
    assert_first_epoch_is_kept(tmp_path / "run")


def test_a_diverging_run(tiny_overrides: list[str], tmp_path: Path, capsys):
    """By a rate that is far too high."""
    message = error_of(capsys, *tiny_overrides, *FOUR_STEPS, "SOLVER.BASE_LR", "1e30")
    assert "not finite" in message
    assert not (tmp_path / "run" / CHECKPOINT_NAME).exists()


def test_dataset_that_goes_away(
    tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, capsys, in_epoch_two, monkeypatch
):
    """The video, and what to do; when it is back, the run ends as if nothing had happened."""
    monkeypatch.setattr(outage, "_PAUSES", (0.1, 0.2))
    root, away = tmp_path / "data", tmp_path / "away"
    shutil.copytree(tiny_dataset, root)
    in_epoch_two(lambda _: root.rename(away))
    common = [*tiny_overrides, *FOUR_STEPS, "DATA.ROOT", str(root), "DATA.NUM_WORKERS", "1", "EVAL.PERIOD", "3"]
    message = error_of(capsys, *common)
    assert re.fullmatch(
        rf"video {root}/.*\.avi does not exist; it could be read when the run began: bring it back as it was",
        message,
    )
    assert read_state(tmp_path / "run" / CHECKPOINT_NAME)["epoch"] == 2
    away.rename(root)
    resumed = train(load_config(None, common), resume=True)
    whole = train(load_config(None, [*common, "OUTPUT_DIR", str(tmp_path / "whole"), "DATA.ROOT", str(tiny_dataset)]))
    for (key, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_a_worker_that_the_system_kills(tiny_overrides: list[str], tmp_path: Path, capsys, in_epoch_two):
    """SIGKILL, as when memory runs out."""
    in_epoch_two(lambda _: [worker.kill() for worker in multiprocessing.active_children()])
    common = [*tiny_overrides, *FOUR_STEPS, "DATA.NUM_WORKERS", "1", "EVAL.PERIOD", "3"]
    message = error_of(capsys, *common)
    gc.collect()  # while its loader is there, PyTorch reports the lost worker whenever another process ends
    assert message == (
        "a process that reads videos was killed, as the system does when memory runs out: lower DATA.NUM_WORKERS "
        "(--workers)"
    )
    assert read_state(tmp_path / "run" / CHECKPOINT_NAME)["epoch"] in (1, 2)


@contextmanager
def limited_files() -> Iterator[Callable[[int], None]]:
    """Gives a function that limits the size of every file this process writes; the system enforces it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda num_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_cannot_be_written(tiny_overrides: list[str], tmp_path: Path, capsys, in_epoch_two):
    """Beyond what the system allows a file: the reason, and what to do. Real disks: tests/slow/test_disks.py."""
    with limited_files() as limit:
        in_epoch_two(lambda _: limit(50_000))
        message = error_of(capsys, *tiny_overrides, *FOUR_STEPS)
    assert message == (
        f"{tmp_path / 'run' / CHECKPOINT_NAME} cannot be written: File too large; checkpoints that are there stay as "
        "they are: make it writable, then continue with --resume"
    )
    assert_first_epoch_is_kept(tmp_path / "run")
    train(load_config(None, [*tiny_overrides, *FOUR_STEPS]), resume=True)
    lines = [simplejson.loads(line) for line in (tmp_path / "run" / METRICS_NAME).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 3]


def test_tensorboard_that_cannot_be_written(tiny_overrides: list[str], tmp_path: Path, capsys, in_epoch_two):
    """Its thread is the first to know; metrics.jsonl and log.txt are no larger than it, or silent."""
    board = tmp_path / "run" / "tensorboard"
    with limited_files() as limit:
        in_epoch_two(lambda _: limit(1 + next(board.iterdir()).stat().st_size))
        message = error_of(capsys, *tiny_overrides, *FOUR_STEPS)
    assert message.startswith(f"{board} cannot be written: File too large; checkpoints that are there stay")
    assert_first_epoch_is_kept(tmp_path / "run")


def test_exit_codes_differ(tiny_overrides: list[str]):
    """A mistake of the user's is 2, a stop that asks for --resume 75; what fails in mid-run is 1, as above."""
    assert main(["train", *tiny_overrides, "SOLVER.EPOCHS", "0"]) == 2
    assert os.EX_TEMPFAIL == 75
