"""Trainers of every kind of task on a GPU, and batches for them, without videos."""

from collections.abc import Callable
from functools import partial

import torch
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
from kdvideo.tasks import Task

CLIP = ClipSpec(clip_len=8, size=32)
NUM_VIDEOS, BATCH_SIZE, NUM_NEGATIVES = 9, 4, 3


def build_trainer(
    *options: str,
    move: Callable[[Task], object],
    num_steps: int,
    on_device: bool = False,
    replay: object = None,
    teacher_clip: ClipSpec = CLIP,
) -> Trainer:
    """A trainer with its task on a GPU. Its loader is not used.

    Args:
        options: of the config.
        move: brings the task to the GPU, which may be a fake one.
        num_steps: steps that are going to be taken.
        on_device: whether clips are augmented there.
        replay: a store of the teacher's answers.
        teacher_clip: the teacher's input convention.
    """
    cfg = load_config(None, ["MODEL.PROJECTION_DIM", "8", "CONTRAST.NUM_NEGATIVES", str(NUM_NEGATIVES), *options])
    pretext, kind = PRETEXTS.get(cfg.PRETEXT.NAME), TASKS.get(cfg.TASK.NAME)

    def build_network(name: str, clip: ClipSpec = CLIP):
        backbone = build_backbone(name, width=4, clip_spec=clip)
        if kind.needs.classes:
            return ClassificationModel(backbone, num_classes=5)
        if not pretext.num_classes:
            return backbone
        return build_pcl_model(
            backbone, projection_dim=8, num_pretext_classes=pretext.num_classes, pretext_head=pretext.head
        )

    teacher = build_network("r2plus1d_10", teacher_clip) if kind.needs.teacher == "must" else None
    model = build_network("r3d_10")
    told = None if kind.needs.classes else pretext()
    more = {} if replay is None else {"replay": replay}
    task = kind.from_config(cfg, model=model, num_videos=NUM_VIDEOS, teacher=teacher, **more)
    move(task)
    optimizer = build_optimizer(cfg, task.trainable, backbone=backbone_of(model))
    sampler = EpochSampler(NUM_VIDEOS, seed=0, batch_size=BATCH_SIZE)
    return Trainer(
        task,
        DataLoader(range(NUM_VIDEOS), batch_size=BATCH_SIZE, sampler=sampler, drop_last=True),
        optimizer=optimizer,
        schedule=build_schedule(cfg, optimizer),
        num_epochs=num_steps,
        device=torch.device("cuda"),
        options=StepOptions(
            clip_gradients=1.0,
            accumulate=cfg.SOLVER.ACCUMULATE,
            scale_loss=cfg.SOLVER.AMP == "fp16",
            average=cfg.SOLVER.EMA,
        ),
        batch_transform=partial(augment_batch, pretext=told) if on_device else None,
    )


def make_batch(*, tuple_len: int = 3, on_device: bool = False) -> dict[str, torch.Tensor]:
    """A batch of the loader, with all that any task asks for."""
    shape = (BATCH_SIZE, tuple_len)
    numbers = torch.arange(BATCH_SIZE)
    batch = {
        "clips": torch.zeros(*shape, 3, CLIP.clip_len, CLIP.size, CLIP.size, dtype=torch.uint8),
        "pretext_label": numbers,
        "index": numbers,
        "epoch": numbers,
        "negatives": torch.zeros(BATCH_SIZE, NUM_NEGATIVES, dtype=torch.int64),
        "class_id": numbers,
    }
    if on_device:
        batch |= {"color": torch.zeros(*shape, 3, 6), "blur_sigma": torch.zeros(shape), "pretext_argument": numbers}
    return batch
