"""No step waits for a GPU: whole steps of the trainer on fake CUDA tensors, with every wait counted."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_gpu import Waits, fake_gpu, move
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from whole_steps import BATCH_SIZE, CLIP, NUM_VIDEOS, build_trainer, make_batch

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.registry import LOSSES, PRETEXTS
from kdvideo.tasks.replay import ReplayStore

NUM_STEPS = 2
CUDA = torch.device("cuda")


def check_steps(
    monkeypatch: pytest.MonkeyPatch,
    *options: str,
    on_device: bool = False,
    replay: ReplayStore | None = None,
    complete: Callable[[dict], dict] | None = None,
    copies: int = 1,
    teacher_clip: ClipSpec = CLIP,
) -> None:
    """Two steps: each copies once to the host, and nothing waits. Numbers are read one step late."""
    read: list[int] = []
    with fake_gpu(monkeypatch, read):
        more = {"on_device": on_device, "replay": replay, "teacher_clip": teacher_clip}
        trainer = build_trainer(*options, move=move, num_steps=NUM_STEPS, **more)
        trainer.run_step.forward.train()
        if complete is not None:
            trainer.task.complete_batch = complete
        for step in range(NUM_STEPS):
            single = trainer.task.needs.classes or isinstance(trainer.task.student, Backbone)
            batch = make_batch(tuple_len=1 if single else 3, on_device=on_device)
            with Waits() as counted:
                scalars = trainer._train_step(batch)
            assert scalars.is_late
            assert trainer.run_step.scaler.is_enabled() == ("fp16" in options)
            assert not +counted.waits, (step, counted.waits)
            assert counted.copies_to_host == copies, step
            assert len(read) == step  # those of the step before
            assert all(parameter.grad.is_cuda for parameter in trainer.task.trainable.parameters())


@pytest.mark.parametrize("loss", ["bank_nce", "batch_nce", "queue_nce"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_pcl(monkeypatch, loss: str, accumulate: int):
    """With each contrastive loss; in two parts, too."""
    check_steps(monkeypatch, "CONTRAST.NAME", loss, "SOLVER.ACCUMULATE", str(accumulate))


@pytest.mark.parametrize("loss", [name for name in LOSSES.names() if hasattr(LOSSES.get(name), "output")])
def test_distill(monkeypatch, loss: str):
    """With each distillation loss."""
    losses = ["TEACHER.LOSSES", f"[{loss}]", "TEACHER.NUM_ANCHORS", "20"]
    check_steps(monkeypatch, "TASK.NAME", "distill", *losses)


@pytest.mark.parametrize("loss", ["embedding_distillation", "similarity_distillation"])
@pytest.mark.parametrize("on_device", [False, True])
def test_pure_distillation(monkeypatch, loss: str, on_device: bool):
    """A backbone alone and one clip per sample, also with the augmentation on the device."""
    losses = ["TEACHER.LOSSES", f"[{loss}]", "TEACHER.NUM_ANCHORS", "20"]
    none = ["PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none"]
    check_steps(monkeypatch, "TASK.NAME", "distill", *losses, *none, on_device=on_device)


def test_a_teacher_with_other_clips(monkeypatch):
    """It gets the student's, resampled in time and size, normalised by its own constants."""
    clip = ClipSpec(clip_len=4, size=48, mean=(0.4, 0.5, 0.6), modality="rgb")
    check_steps(monkeypatch, "TASK.NAME", "distill", teacher_clip=clip)


@pytest.mark.parametrize("pretext", [name for name in PRETEXTS.names() if name != "none"])
@pytest.mark.parametrize("on_device", [False, True])
def test_pretexts(monkeypatch, pretext: str, on_device: bool):
    """Each of them, on the network that it asks for; with its operation and the augmentation on the device, too."""
    check_steps(monkeypatch, "PRETEXT.NAME", pretext, on_device=on_device)


@pytest.mark.parametrize("on_device", [False, True])
def test_supervised(monkeypatch, on_device: bool):
    """One clip per video."""
    check_steps(monkeypatch, "TASK.NAME", "supervised", on_device=on_device)


def test_fp16(monkeypatch):
    """The scaler looks at nothing, and the fused optimizer skips a step by itself."""
    check_steps(monkeypatch, "SOLVER.AMP", "fp16")


@pytest.mark.parametrize("missing", [False, True])
def test_replay(monkeypatch, tmp_path: Path, missing: bool):
    """Answers come with the batch. New ones are copied once more, and nobody waits for them, either."""
    store = ReplayStore(tmp_path, {}, shapes={"pretext_logits": (5,)}, num_epochs=1, num_videos=NUM_VIDEOS)
    places = np.zeros((BATCH_SIZE, 2), dtype=np.int64)
    monkeypatch.setattr(store, "flush", lambda: None)

    def complete(batch: dict) -> dict:
        more = {"is_answered": torch.zeros(BATCH_SIZE, 1, dtype=torch.bool), "answer_places": places} if missing else {}
        return {**batch, "answer_pretext_logits": torch.zeros(BATCH_SIZE, 5), **more}

    check_steps(monkeypatch, "TASK.NAME", "distill", replay=store, complete=complete, copies=1 + missing)


def test_adamw(monkeypatch):
    """The other optimizer."""
    check_steps(monkeypatch, "SOLVER.OPTIMIZER", "adamw")


def test_an_average_of_the_weights(monkeypatch):
    """It is updated after each step, on the device."""
    check_steps(monkeypatch, "SOLVER.EMA", "0.99")


def test_what_waits_is_counted(monkeypatch):
    """Each of the operations that a step used to have, and those that only look like them."""
    with fake_gpu(monkeypatch, []):
        x, there = torch.ones(3, device=CUDA), torch.ones(3, dtype=torch.bool, device=CUDA)
        for wait in (
            lambda: x[0].item(),
            lambda: x.tolist()[0],
            lambda: x.cpu(),
            lambda: torch.tensor([1.0, 2.0], device=CUDA),
            lambda: torch.ones(2).to(CUDA),
            lambda: x[there],
            lambda: x.masked_select(there),
            lambda: there.nonzero(),
            lambda: x.index_put_((there,), x.sum()),
        ):
            # A fake has no values to go on with.
            with Waits() as counted, suppress(DynamicOutputShapeException, DataDependentOutputException):
                wait()
            assert counted.waits.total() > 0
        with Waits() as counted:
            x.masked_fill(there, 0.0)
            torch.ones(2).to(CUDA, non_blocking=True)
            x[torch.zeros(2, dtype=torch.int64, device=CUDA)]
        assert not +counted.waits
        with Waits() as counted:
            x.to("cpu", non_blocking=True)
        assert (counted.waits.total(), counted.copies_to_host) == (0, 1)
