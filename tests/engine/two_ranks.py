"""Two steps of a task, by two real processes or by one that normalises each rank's share on its own."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import default_collate

from kdvideo.config import load_config
from kdvideo.data.batch import SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.mixup import draw_mixing, mix_batch, pair_samples
from kdvideo.distributed import is_main, main_first, process_group, rank, wait_for_all, world_size
from kdvideo.engine.step import StepOptions, TrainStep
from kdvideo.models.pcl import build_backbone, build_pcl_model
from kdvideo.registry import TASKS
from kdvideo.tasks import Task
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.views import view_shapes

NUM_RANKS, BATCH_SIZE, NUM_VIDEOS, NUM_STEPS = 2, 4, 9, 2
CLIP = ClipSpec(clip_len=4, size=32)
_EVERY_DISTILLATION = ["logit_distillation", "embedding_distillation", "similarity_distillation", "dist"]
_FROM_FEATURES = [
    "embedding_distillation",
    "similarity_distillation",
    "queue_distillation",
    "standardised_embedding",
    "standardised_mse",
    "isotropic_mse",
]
CASES: dict[str, list[str]] = {
    "bank": ["CONTRAST.NAME", "bank_nce", "CONTRAST.NUM_NEGATIVES", "3"],
    "queue": ["CONTRAST.NAME", "queue_nce", "CONTRAST.NUM_NEGATIVES", "6"],
    "batch": ["CONTRAST.NAME", "batch_nce"],
    "distill": [
        *("CONTRAST.NAME", "bank_nce", "CONTRAST.NUM_NEGATIVES", "3", "TASK.NAME", "distill"),
        *("TEACHER.LOSSES", str(_EVERY_DISTILLATION), "TEACHER.LOSS_WEIGHTS", "[1.0, 0.5, 2.0, 1.0]"),
        *("TEACHER.NUM_ANCHORS", "20"),
    ],
    "pure": [
        *("PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none", "TASK.NAME", "distill"),
        *("TEACHER.LOSSES", str(_FROM_FEATURES), "TEACHER.LOSS_WEIGHTS", str([1.0] * len(_FROM_FEATURES))),
        *("TEACHER.NUM_ANCHORS", "20"),
    ],
    "several": [
        *("CONTRAST.NAME", "bank_nce", "CONTRAST.NUM_NEGATIVES", "3", "TASK.NAME", "distill"),
        "TEACHERS",
        "[{WEIGHTS: a, LOSSES: [logit_distillation, embedding_distillation], LOSS_WEIGHTS: [1, 0.5]}, "
        "{WEIGHTS: b, LOSSES: [similarity_distillation, standardised_mse], LOSS_WEIGHTS: [1, 2], NUM_ANCHORS: 20, "
        "WEIGHTING: adaptive, SAMPLING: shared}]",
    ],
    "tokens": [
        *("PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none", "TASK.NAME", "distill"),
        *("TEACHER.LOSSES", "[token_distillation, token_mse, token_relations]", "TEACHER.LOSS_WEIGHTS", "[1, 1, 1]"),
        *("TEACHER.STUDENT_LAYERS", "[stage2, stage4]"),
    ],
    "mixed": [  # clips, and an average of the student's weights
        *("PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none", "TASK.NAME", "distill"),
        *("TEACHER.LOSSES", "[embedding_distillation]", "AUGMENT.MIXUP", "1.0", "SOLVER.EMA", "0.5"),
    ],
    "views": [
        *("CONTRAST.NAME", "bank_nce", "CONTRAST.NUM_NEGATIVES", "3", "TASK.NAME", "distill", "TEACHER.VIEWS", "2"),
        *("TEACHER.LOSSES", str(_FROM_FEATURES), "TEACHER.LOSS_WEIGHTS", str([1.0] * len(_FROM_FEATURES))),
        *("TEACHER.NUM_ANCHORS", "20"),
    ],
}


class ShareNorm(nn.BatchNorm3d):
    """BatchNorm of each rank's share apart; the running statistics are the mean of what the shares make of them."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        normalised, means, variances = [], [], []
        for share in x.chunk(NUM_RANKS):
            means.append(self.running_mean.clone())
            variances.append(self.running_var.clone())
            normalised.append(
                F.batch_norm(
                    share, means[-1], variances[-1], self.weight, self.bias, self.training, self.momentum, self.eps
                )
            )
        self.num_batches_tracked += int(self.training)
        self.running_mean.copy_(torch.stack(means).mean(dim=0))
        self.running_var.copy_(torch.stack(variances).mean(dim=0))
        return torch.cat(normalised)


def build_task(case: str, folder: Path) -> Task:
    """The same weights in every process. Answers to views, if there are any, are kept in the folder."""
    torch.manual_seed(0)
    student, teacher = (
        build_pcl_model(build_backbone(name, width=4, clip_spec=CLIP), projection_dim=16)
        for name in ("r3d_10", "r2plus1d_10")
    )
    cfg = load_config(None, ["MODEL.PROJECTION_DIM", "16", *CASES[case]])
    if cfg.PRETEXT.NAME == "none":
        student = student.backbone
    parts: dict[str, Any] = {"teacher": teacher if cfg.TASK.NAME == "distill" else None}
    if views := cfg.TEACHER.VIEWS:
        parts["replay"] = ReplayStore(
            folder, {}, shapes=view_shapes(teacher), num_epochs=views, num_videos=NUM_VIDEOS, by="view"
        )
    if cfg.TEACHERS:
        other = build_backbone("r3d_10", width=8, clip_spec=CLIP)
        parts["others"] = [(other, None)]
    return TASKS.get(cfg.TASK.NAME).from_config(cfg, model=student, num_videos=NUM_VIDEOS, **parts)


def batch_of(case: str, step: int) -> dict[str, Tensor]:
    """One step's samples of all ranks, drawn so that no unit is so close to zero that rounding decides its side."""
    first = 40 if case == "views" else 20  # with 0, or 20 with views, gradients move by 1e-3 and more with the threads
    generator = torch.Generator().manual_seed(first + step)
    index = torch.randperm(NUM_VIDEOS, generator=generator)[:BATCH_SIZE]
    others = [[video for video in range(NUM_VIDEOS) if video != own][-3:] for own in index.tolist()]
    return {
        "clips": torch.randint(0, 256, (BATCH_SIZE, 3, 3, 4, 32, 32), dtype=torch.uint8, generator=generator),
        "pretext_label": torch.randint(0, 5, (BATCH_SIZE,), generator=generator),
        "index": index,
        "negatives": torch.tensor(others),
        "view": index % 2,
        "teacher_clips": torch.randint(0, 256, (BATCH_SIZE, 1, 3, 4, 32, 32), dtype=torch.uint8, generator=generator),
    }


def mixed(batch: dict[str, Any], step: int) -> dict[str, Any]:
    """Blends each sample with that of a video which this rank may not have, as a run draws it."""
    pairs = []
    for clips, video in zip(batch["clips"], batch["index"].tolist(), strict=True):
        partner, share = draw_mixing(1.0, seed=0, key=SampleKey(step, video), num_videos=NUM_VIDEOS)
        generator = torch.Generator().manual_seed(partner)
        other = torch.randint(0, 256, clips.shape, dtype=torch.uint8, generator=generator)
        sides: Any = ({"clips": clips, "index": video}, {"clips": other, "index": partner})
        pairs.append(pair_samples(*sides, share=share))
    return mix_batch(default_collate(pairs))


def train(case: str, task: Task, take: Callable[[Tensor], Tensor], *, norm_in_training: bool) -> dict:
    """Losses and gradients of each step, and the state after the last."""
    cfg = load_config(None, CASES[case])
    optimizer = torch.optim.SGD(task.trainable.parameters(), lr=0.05)
    run_step = TrainStep(
        task, optimizer=optimizer, device=torch.device("cpu"), options=StepOptions(average=cfg.SOLVER.EMA)
    )
    run_step.forward.train()
    for module in task.modules():
        if isinstance(module, _BatchNorm):
            module.train(norm_in_training and not any(module is other for other in _of_the_teacher(task)))
    losses, gradients = [], []
    for step in range(NUM_STEPS):
        batch = {key: take(value) for key, value in batch_of(case, step).items()}
        scalars = run_step(mixed(batch, step) if cfg.AUGMENT.MIXUP else batch)
        losses.append({name: value.item() for name, value in scalars.items()})
        gradients.append({name: p.grad.clone() for name, p in task.trainable.named_parameters()})
    average = run_step.average.state_dict() if run_step.average else {}
    student = task.student.state_dict()
    return {"losses": losses, "gradients": gradients, "student": student, "task": task.task_state(), "average": average}


def run_rank(number: int, port: int, folder: Path) -> None:
    """All cases on one of the ranks, each result in a file of its own."""
    _set_environment(number, port)
    torch.set_num_threads(1)
    with process_group():
        assert (rank(), world_size(), is_main()) == (number, NUM_RANKS, number == 0)
        for case in CASES:
            for training in (True, False):
                task = build_task(case, folder / f"{case}-{training}")
                result = train(case, task, lambda x: x.chunk(NUM_RANKS)[number], norm_in_training=training)
                torch.save(result, folder / f"{case}-{training}-{number}.pt")


def join_with_one_gpu(number: int, port: int, folder: Path) -> None:
    """A rank on a machine that seems to have one GPU; it leaves which one it took, and how tensors are sent."""
    _set_environment(number, port)
    seen = []
    pretended = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "set_device": seen.append,
        "current_device": lambda: seen[-1],
        "get_device_properties": lambda device: SimpleNamespace(uuid="the only one"),
    }
    with patch.multiple(torch.cuda, **pretended), process_group():
        wait_for_all()
        (folder / f"joined-{number}.txt").write_text(f"{seen} {distributed.get_backend_config()}")


def prepare_slowly(number: int, port: int, folder: Path) -> None:
    """A rank whose machine lacks what rank 0's has; rank 0 leaves whether the other one was done when it went on."""
    _set_environment(number, port)
    done = folder / "done.txt"
    with process_group():
        with main_first():
            if number == 1:
                time.sleep(1)
                done.touch()
        if number == 0:
            (folder / "seen.txt").write_text(str(done.exists()))


def _set_environment(number: int, port: int) -> None:
    """As a launcher does that knows nothing of LOCAL_RANK."""
    os.environ.update(RANK=str(number), WORLD_SIZE=str(NUM_RANKS), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))


def run_alone(case: str, folder: Path, *, norm_in_training: bool) -> dict:
    """The one-process reference."""
    task = build_task(case, folder)
    for module in list(task.trainable.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                norm = ShareNorm(child.num_features, eps=child.eps, momentum=child.momentum)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm)
    return train(case, task, lambda value: value, norm_in_training=norm_in_training)


def _of_the_teacher(task: Task) -> list[nn.Module]:
    return [module for lesson in getattr(task, "lessons", []) for module in lesson.teacher.modules()]
