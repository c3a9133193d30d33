"""Training steps without videos, for `train_step.py`: kdvideo's own trainer, and a plain loop to compare it with.

plain    a loop as the PCL paper's recipe reads: fp32, contiguous, a forward for each clip of a tuple
online   kdvideo's trainer with a teacher of the student's architecture
replay   the same with TEACHER.REPLAY on, the answers being there after the first round of batches
alone    the same without a teacher: PCL's own step
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from device_rates import count_operations
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from kdvideo.config import get_defaults
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.loader import EpochSampler
from kdvideo.data.videos import VideoList
from kdvideo.engine.build import build_model_spec, build_tuple_config
from kdvideo.engine.environment import computing
from kdvideo.engine.memory import keep_freed_memory
from kdvideo.engine.run import FinalResult, Measurements, RunParts, build_student
from kdvideo.engine.stop import Preempted
from kdvideo.engine.trainer import Hook, Trainer
from kdvideo.engine.training import build_task, build_trainer
from kdvideo.models.spec import Model, ModelSpec
from kdvideo.zoo.sources import Weights

CASES = ("plain", "online", "replay", "alone")
NUM_VIDEOS, NUM_BATCHES, TUPLE_LEN = 9537, 4, 3
AfterStep = Callable[[], bool]  # returns whether another step follows


@dataclass(frozen=True)
class StepSettings:
    """How a step is computed.

    Attributes:
        backbone: of student and teacher.
        device: "cpu" or "cuda".
        tuples: samples of 3 clips in a step.
        amp: SOLVER.AMP.
        compiled: SOLVER.COMPILE.
        deterministic: SOLVER.DETERMINISTIC.
        width: channels of the stem.
        size: pixels of a clip's side.
        length: frames of a clip.
        options: further KEY VALUE pairs of the config.
    """

    backbone: str
    device: str = "cpu"
    tuples: int = 4
    amp: str = "bf16"
    compiled: bool = False
    deterministic: bool = True
    width: int = 64
    size: int = 112
    length: int = 16
    options: tuple[str, ...] = ()

    def config(self, case: str) -> CfgNode:
        """The config of a run that takes such steps."""
        cfg = get_defaults()
        values = {
            "TASK.NAME": "pcl" if case == "alone" else "distill",
            "MODEL.BACKBONE": self.backbone,
            "MODEL.WIDTH": self.width,
            "CLIP.LENGTH": self.length,
            "CLIP.SIZE": self.size,
            "SOLVER.BATCH_SIZE": self.tuples,
            "SOLVER.AMP": self.amp,
            "SOLVER.COMPILE": self.compiled,
            "SOLVER.DETERMINISTIC": self.deterministic,
            "TEACHER.REPLAY": case == "replay",
            "DATA.NUM_WORKERS": 0,
        }
        cfg.merge_from_list([item for pair in values.items() for item in pair])
        cfg.merge_from_list(list(self.options))
        return cfg


def make_batches(settings: StepSettings) -> list[dict[str, Any]]:
    """Several batches as the loader gives them: on the host, pinned where there is a GPU."""
    generator = torch.Generator().manual_seed(0)
    shape = (settings.tuples, TUPLE_LEN, 3, settings.length, settings.size, settings.size)
    batches = []
    for number in range(NUM_BATCHES):
        first = number * settings.tuples
        batch = {
            "clips": torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
            "pretext_label": torch.arange(settings.tuples) % 5,
            "index": torch.arange(first, first + settings.tuples),
            "epoch": torch.zeros(settings.tuples, dtype=torch.long),
            "negatives": torch.randint(NUM_VIDEOS // 2, NUM_VIDEOS, (settings.tuples, 1024), generator=generator),
        }
        batches.append(
            {key: value.pin_memory() if settings.device == "cuda" else value for key, value in batch.items()}
        )
    return batches


def take_steps(case: str, settings: StepSettings, after_step: AfterStep) -> None:
    """Takes steps until `after_step` returns False."""
    (_take_plain if case == "plain" else _take_ours)(case, settings, after_step)


def _take_plain(case: str, settings: StepSettings, after_step: AfterStep) -> None:
    """PCL with a teacher as a script has it: arXiv 2010.15464, section 3, and Hinton's distillation."""
    spec, device = build_model_spec(settings.config(case)), torch.device(settings.device)
    student, teacher = spec.build().to(device).train(), spec.build().to(device).eval()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    banks = [F.normalize(torch.randn(NUM_VIDEOS, 128, device=device), dim=1) for _ in range(2)]
    for batch in itertools.cycle(make_batches(settings)):
        moved = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
        clips = (moved["clips"].float() / 255 - 0.45) / 0.225
        clips = clips.roll(1, dims=3) - clips
        features = [student.backbone(clips[:, i]) for i in range(TUPLE_LEN)]
        logits = student.pretext_head.fc(torch.cat(features, dim=1))
        with torch.no_grad():
            taught = teacher.pretext_head.fc(
                torch.cat([teacher.backbone(clips[:, i]) for i in range(TUPLE_LEN)], dim=1)
            )
        z = [student.projection_head(features[i]) for i in (0, -1)]
        loss = _plain_loss(logits, taught, z, moved, banks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for bank, of_clip in zip(banks, z, strict=True):
                bank[moved["index"]] = F.normalize(0.5 * bank[moved["index"]] + 0.5 * of_clip, dim=1)
        loss.item()
        if not after_step():
            return


def _plain_loss(
    logits: Tensor, taught: Tensor, z: list[Tensor], batch: Mapping[str, Tensor], banks: list[Tensor]
) -> Tensor:
    loss = F.cross_entropy(logits, batch["pretext_label"])
    candidates = torch.cat((batch["index"][:, None], batch["negatives"]), dim=1)
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    for own, other in ((0, 1), (1, 0)):
        similarity = (banks[other][candidates] * z[own][:, None]).sum(dim=2) / 0.07
        loss = loss + 0.5 * F.cross_entropy(similarity, first)
    return loss + 16 * F.kl_div((logits / 4).log_softmax(1), (taught / 4).softmax(1), reduction="batchmean")


def _take_ours(case: str, settings: StepSettings, after_step: AfterStep) -> None:
    """Steps of the trainer that `kdvideo train` builds, which reads batches from memory instead of videos."""
    hook = AfterStepHook(after_step)
    with computing_as_run(settings.config(case), settings.device), contextlib.suppress(Preempted):
        build_steps(case, settings).train([hook], should_stop=lambda: hook.ended)


def computing_as_run(cfg: CfgNode, device: str) -> contextlib.AbstractContextManager[None]:
    """Sets the arithmetic of a GPU as a run does."""
    return computing(torch.device(device), precision=cfg.SOLVER.AMP, deterministic=cfg.SOLVER.DETERMINISTIC)


def build_steps(case: str, settings: StepSettings) -> Trainer:
    """A run's trainer, with batches of `make_batches`."""
    keep_freed_memory()
    cfg, device = settings.config(case), torch.device(settings.device)
    spec = build_model_spec(cfg)
    names = [f"Class/v_Class_g{number:05d}_c01.avi" for number in range(NUM_VIDEOS)]
    videos = VideoList([VideoRecord(Path(__file__), name, 0) for name in names], [100] * NUM_VIDEOS)
    parts = RunParts(
        spec=spec,
        model=build_student(cfg, spec, device=device, resumed=False),
        videos=videos,
        validation_metric="",
        build_dataset=lambda task: _Samples(build_tuple_config(cfg)),  # type: ignore[arg-type, return-value]
        prepare_measurements=lambda: Measurements(dict, lambda epoch: FinalResult({}, "")),
    )
    teachers = [] if case == "alone" else [random_teacher(spec)]
    task = build_task(cfg, parts, teachers=teachers, device=device)
    trainer = build_trainer(cfg, parts, task=task, device=device)
    trainer.feed.loader = KeptBatches(trainer.loader, make_batches(settings))
    return trainer


def count_clip(settings: StepSettings) -> tuple[float, float]:
    """Operations of one clip: of its forward, and of forward and backward together."""
    backbone = build_model_spec(settings.config("alone")).build().backbone
    return count_operations(backbone, 3, settings.length, settings.size, settings.size)


def times_plain(medians: Mapping[str, float]) -> dict[str, float]:
    """How many times as fast as the plain loop each case is, from the times of a step."""
    plain = medians.get("plain")
    return {name: round(plain / value, 2) for name, value in medians.items() if plain and name != "plain"}


def random_teacher(spec: ModelSpec) -> tuple[Model, Weights]:
    """A teacher of an architecture, with random weights."""
    network = spec.build().to(memory_format=torch.channels_last_3d)
    return network, Weights(Path(__file__), f"random {os.getpid()}", None, "random")


class AfterStepHook(Hook):
    """Calls `after_step` after each step, and says when it wanted no further one."""

    def __init__(self, after_step: AfterStep) -> None:
        self.after_step_of, self.ended = after_step, False

    def after_step(self, trainer: Trainer, scalars: Mapping[str, float]) -> None:
        self.ended = self.ended or not self.after_step_of()


class _Samples(Dataset):
    """As many samples as videos; none of them is ever read."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def __len__(self) -> int:
        return NUM_VIDEOS


class KeptBatches(DataLoader):
    """Gives batches that are there, in turn."""

    def __init__(self, loader: DataLoader, batches: list[dict[str, Any]]) -> None:
        sampler, size = loader.sampler, loader.batch_size
        assert isinstance(sampler, EpochSampler)
        super().__init__(loader.dataset, batch_size=size, sampler=sampler, drop_last=True)
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return itertools.islice(itertools.cycle(self._batches), len(self))
