"""No step waits for a GPU: whole steps of the trainer on fake CUDA tensors, with every wait counted."""

from contextlib import suppress
from functools import partial

import pytest
import torch
from fake_gpu import Waits, batch_of, fake_gpu, move
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.utils.data import DataLoader

from kdvideo.config import load_config
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.loader import EpochSampler
from kdvideo.data.samples import augment_batch
from kdvideo.engine.optim import build_optimizer, build_schedule
from kdvideo.engine.step import StepOptions
from kdvideo.engine.trainer import Trainer
from kdvideo.models.pcl import ClassificationModel, build_backbone, build_pcl_model
from kdvideo.models.spec import backbone_of
from kdvideo.registry import PRETEXTS, TASKS

CLIP = ClipSpec(clip_len=8, size=32)
NUM_VIDEOS, BATCH_SIZE, NUM_NEGATIVES, NUM_STEPS = 9, 4, 3, 3
CUDA = torch.device("cuda")


def build_trainer(*options: str, on_device: bool = False) -> Trainer:
    """A trainer with its task on the fake GPU; its loader is not used."""
    cfg = load_config(None, ["MODEL.PROJECTION_DIM", "8", "CONTRAST.NUM_NEGATIVES", str(NUM_NEGATIVES), *options])
    pretext, kind = PRETEXTS.get(cfg.PRETEXT.NAME), TASKS.get(cfg.TASK.NAME)

    def build_network(name: str):
        backbone = build_backbone(name, width=4, clip_spec=CLIP)
        if kind.needs_labels:
            return ClassificationModel(backbone, num_classes=5)
        return build_pcl_model(
            backbone, projection_dim=8, num_pretext_classes=pretext.num_classes, pretext_head=pretext.head
        )

    teacher = build_network("r2plus1d_10") if kind.needs_teacher else None
    model = build_network("r3d_10")
    task = kind.from_config(cfg, model=model, num_videos=NUM_VIDEOS, teacher=teacher)
    move(task)
    optimizer = build_optimizer(cfg, task.trainable, backbone=backbone_of(model))
    sampler = EpochSampler(NUM_VIDEOS, seed=0, batch_size=BATCH_SIZE)
    return Trainer(
        task,
        DataLoader(range(NUM_VIDEOS), batch_size=BATCH_SIZE, sampler=sampler, drop_last=True),
        optimizer=optimizer,
        schedule=build_schedule(cfg, optimizer),
        num_epochs=NUM_STEPS,
        device=CUDA,
        options=StepOptions(clip_gradients=1.0, accumulate=cfg.SOLVER.ACCUMULATE),
        batch_transform=partial(augment_batch, pretext=pretext) if on_device else None,
    )


def count_waits(monkeypatch: pytest.MonkeyPatch, *options: str, on_device: bool = False) -> None:
    """Three steps: each copies once to the host, and nothing waits. Numbers are read one step late."""
    read: list[int] = []
    with fake_gpu(monkeypatch, read):
        trainer = build_trainer(*options, on_device=on_device)
        trainer.run_step.forward.train()
        for step in range(NUM_STEPS):
            batch = batch_of(
                BATCH_SIZE, tuple_len=3, clip_len=CLIP.clip_len, pixels=CLIP.size, num_negatives=NUM_NEGATIVES
            )
            if trainer.task.needs_labels:
                batch["clips"] = batch["clips"][:, :1]
            if on_device:
                batch["color"] = torch.zeros(BATCH_SIZE, 3, 3, 6)
                batch["blur_sigma"] = torch.zeros(BATCH_SIZE, 3)
                batch["pretext_argument"] = torch.zeros(BATCH_SIZE, dtype=torch.int64)
            with Waits() as counted:
                scalars = trainer._train_step(batch)
            assert scalars.is_late
            assert not +counted.waits, (step, counted.waits)
            assert counted.copies_to_host == 1, step
            assert len(read) == step  # those of the step before
            assert all(parameter.grad.is_cuda for parameter in trainer.task.trainable.parameters())


@pytest.mark.parametrize("loss", ["bank_nce", "batch_nce", "queue_nce"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_pcl(monkeypatch, loss: str, accumulate: int):
    """With each contrastive loss; in two parts, too."""
    count_waits(monkeypatch, "CONTRAST.NAME", loss, "SOLVER.ACCUMULATE", str(accumulate))


@pytest.mark.parametrize("loss", ["logit_distillation", "embedding_distillation", "similarity_distillation"])
def test_distill(monkeypatch, loss: str):
    """With each distillation loss."""
    losses = ["TEACHER.LOSSES", f"[{loss}]", "TEACHER.NUM_ANCHORS", "20"]
    count_waits(monkeypatch, "TASK.NAME", "distill", *losses)


@pytest.mark.parametrize("pretext", PRETEXTS.names())
def test_pretexts(monkeypatch, pretext: str):
    """Each of them, on the network that it asks for."""
    count_waits(monkeypatch, "PRETEXT.NAME", pretext)


def test_supervised(monkeypatch):
    """One clip per video."""
    count_waits(monkeypatch, "TASK.NAME", "supervised")


def test_adamw(monkeypatch):
    """The other optimizer."""
    count_waits(monkeypatch, "SOLVER.OPTIMIZER", "adamw")


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
