"""Fills the store of a teacher's answers to the views of a dataset, before any student needs them."""

import logging
import math
import random
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from tqdm import tqdm

from kdvideo.config import validate_config
from kdvideo.config.naming import naming_keys
from kdvideo.config.teachers import naming_teacher, teacher_configs
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.loader import create_loader
from kdvideo.data.transfer import transfer_to
from kdvideo.data.videos import VideoList
from kdvideo.data.views import TeacherViews, ViewGroups
from kdvideo.device import choose_device
from kdvideo.distributed import is_main, process_group, rank, wait_for_all, world_size
from kdvideo.engine.build import configured_zoo, load_videos
from kdvideo.engine.classes import with_unlabelled
from kdvideo.engine.environment import computing
from kdvideo.engine.guards import out_of_memory_means
from kdvideo.engine.precision import AMP_DTYPES, prepare_frozen
from kdvideo.engine.teachers import load_teacher
from kdvideo.engine.views import open_views
from kdvideo.host_copy import HostCopy
from kdvideo.models.spec import backbone_of
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.teacher import FrozenTeacher
from kdvideo.workers import explain_losses
from kdvideo.zoo.sources import resolve_weights

__all__ = ["Taught", "teach"]

logger = logging.getLogger("kdvideo")
_MOST_CLIPS, _GROUP_BYTES = 64, 80 << 20  # of a group, which a worker holds twice
_PAUSE = 30.0  # seconds between two lines of progress


@dataclass(frozen=True)
class Taught:
    """What a teacher's store has when `teach` ends.

    Attributes:
        store: the store.
        num_videos: number of videos on the training list.
        num_views: number of views of each video.
        num_missing: number of views in the store, of all parts, without an answer.
    """

    store: ReplayStore
    num_videos: int
    num_views: int
    num_missing: int


@naming_keys()
@process_group()
def teach(cfg: CfgNode, *, part: tuple[int, int] = (1, 1), device_name: str = "") -> list[Taught]:
    """Computes teachers' answers to VIEWS views of each video of DATA's training list, and keeps them.

    Of TEACHERS, those with VIEWS are asked, one after the other. What is there already stays. So it may be killed at
    any time and started again, and any number of processes may work on one store at once, those of torchrun or others.

    Args:
        cfg: a config with TEACHER.WEIGHTS and TEACHER.VIEWS, or TEACHERS.
        part: I and N, the part of the videos to do; see `part_of_groups`.
        device_name: the device that computes. Defaults to the GPU if there is one.

    Returns:
        What the store of each teacher with VIEWS has.

    Raises:
        ValueError: a config, dataset or teacher cannot work.
        FloatingPointError: an answer is infinite or NaN.
        OSError: a video that could be read before cannot be read any more.
    """
    validate_config(_without_students(cfg))
    asked = [(number, one) for number, one in enumerate(teacher_configs(cfg), start=1) if one.TEACHER.VIEWS]
    if not asked and cfg.TEACHERS:
        raise ValueError("none of TEACHERS has VIEWS: set TEACHERS.1.VIEWS")
    if not asked:
        raise ValueError("`views` is 0; it must be at least 1")
    device = choose_device(device_name)
    for number, one in asked:  # before the first one's hours
        with naming_teacher(cfg, number):
            resolve_weights(one.TEACHER.WEIGHTS, zoo=configured_zoo(one))
    listed = with_unlabelled(cfg, load_videos(cfg, "train"))
    taught = []
    for number, one in asked:
        with naming_teacher(cfg, number):
            taught.append(_teach(one, listed, part=part, device=device))
    return taught


def _without_students(cfg: CfgNode) -> CfgNode:
    """Returns a copy without what needs a GPU for students alone, which may be trained on another machine."""
    alone = cfg.clone()
    alone.defrost()
    alone.SOLVER.SYNC_BN = False
    return alone


def _teach(cfg: CfgNode, listed: VideoList, *, part: tuple[int, int], device: torch.device) -> Taught:
    """Fills the store of one teacher, which is TEACHER."""
    model, weights = load_teacher(cfg)
    arithmetic = computing(device, precision=cfg.SOLVER.AMP, deterministic=cfg.SOLVER.DETERMINISTIC)
    with explain_losses(), arithmetic, out_of_memory_means("lower EVAL.BATCH_SIZE"):
        prepare_frozen(model, AMP_DTYPES[cfg.SOLVER.AMP])
        store = open_views(cfg, listed, teacher=model, weights=weights, device=device)
        clip = backbone_of(model).clip_spec
        classes = "class_logits" in store.shapes
        teacher = FrozenTeacher(model, clip_spec=clip, frames="views", classes=classes, outputs=store.shapes).to(device)
        logger.info("%s", teacher.describe())
        views = TeacherViews(clip, cfg.TEACHER.VIEWS, kept=(), are_answered=store.are_answered)
        num_clips = cfg.EVAL.BATCH_SIZE or _clips_at_once(clip)
        groups = part_of_groups(len(listed), max(1, num_clips // views.count), part=part)
        _fill(store, teacher, listed, groups=groups, views=views, num_clips=num_clips, num_workers=cfg.DATA.NUM_WORKERS)
        wait_for_all()
    return Taught(store, len(listed), views.count, store.num_rows - store.count_answers())


def part_of_groups(num_videos: int, size: int, *, part: tuple[int, int]) -> list[range]:
    """Returns the groups of neighbouring videos that are one of N parts of the list.

    ::

        7 videos in groups of 2, part 2 of 2:    0 1 | 2 3 |[4 5 | 6]

    Args:
        num_videos: videos on the list.
        size: videos in a group.
        part: I, counted from 1, and N. Parts are neighbours, too, so that jobs on several machines hardly ever write to
            the same page of a file.
    """
    groups = [range(start, min(start + size, num_videos)) for start in range(0, num_videos, size)]
    number, count = part
    return groups[(number - 1) * len(groups) // count : number * len(groups) // count]


def _clips_at_once(clip: ClipSpec) -> int:
    """Returns how many clips go through the teacher at once, fewer if they are large."""
    return max(1, min(_MOST_CLIPS, _GROUP_BYTES // (3 * clip.clip_len * clip.size**2)))


def _fill(
    store: ReplayStore,
    teacher: FrozenTeacher,
    videos: VideoList,
    *,
    groups: Sequence[range],
    views: TeacherViews,
    num_clips: int,
    num_workers: int,
) -> None:
    dataset = ViewGroups(videos, _own_order(groups), views=views, num_ranks=world_size())
    progress = _Progress(store, groups, count=views.count)
    waiting: tuple[dict[str, Any], HostCopy] | None = None
    transfer = transfer_to(next(teacher.parameters()).device)
    for group in create_loader(dataset, batch_size=None, num_workers=num_workers):
        if "clips" in group and not views.are_answered(group["view"], group["index"]):
            clips = transfer({"clips": group.pop("clips")})["clips"]
            answers = [_join_outputs(teacher(part.unsqueeze(1)), store.shapes) for part in clips.split(num_clips)]
            _write(store, waiting, videos)  # the answers before, while a GPU computes these
            waiting = group, HostCopy(torch.cat(answers).float())
        progress.show()
    _write(store, waiting, videos)
    progress.close()


def _join_outputs(outputs: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
    """Returns the kept outputs of single clips `[M, 1, ...]` side by side, `[M, values]`."""
    return torch.cat([outputs[name].flatten(1) for name in names], dim=1)


def _write(store: ReplayStore, waiting: tuple[dict[str, Any], HostCopy] | None, videos: VideoList) -> None:
    if waiting is None:
        return
    group, copy = waiting
    answers: Tensor = copy.read()
    if not (finite := answers.isfinite().all(dim=1)).all():
        name = videos.records[int(group["index"][~finite][0])].name
        raise FloatingPointError(
            f"the teacher's answer to {name} is not finite, so it is not kept: set SOLVER.AMP to another precision"
        )
    parts = answers.split([math.prod(shape) for shape in store.shapes.values()], dim=1)
    store.write(group["view"], group["index"], dict(zip(store.shapes, parts, strict=True)))


def _own_order(groups: Sequence[range]) -> list[range]:
    """Returns all groups in an order of this process' own: the rank's share, and then what others may have left."""
    drawn = random.SystemRandom()
    own = list(groups[rank() :: world_size()])
    others = [group for number, group in enumerate(groups) if number % world_size() != rank()]
    return [*drawn.sample(own, len(own)), *drawn.sample(others, len(others))]


class _Progress:
    """Shows how many videos are done, videos/s and the time left: a bar on a terminal, else a line now and then."""

    def __init__(self, store: ReplayStore, groups: Sequence[range], *, count: int) -> None:
        self.store, self.count, self.num_videos = store, count, sum(map(len, groups))
        self.first, self.last = (groups[0].start, groups[-1].stop) if groups else (0, 0)
        self.before = self._done()
        self.began = self.shown = time.monotonic()
        silent = not (is_main() and sys.stderr.isatty())
        self.bar = tqdm(total=self.num_videos, initial=self.before, unit="video", disable=silent)

    def show(self) -> None:
        """Counts what is there, once a second."""
        now = time.monotonic()
        if now - self.shown < (_PAUSE if self.bar.disable else 1.0):
            return
        self.shown, done = now, self._done()
        if not self.bar.disable:
            self.bar.update(done - self.bar.n)
            return
        rate = (done - self.before) / (now - self.began)
        left = f"{(self.num_videos - done) / rate / 60:.0f} min left" if rate else "waiting for the first"
        logger.info("teach: %d of %d videos, %.1f videos/s, %s", done, self.num_videos, rate, left)

    def close(self) -> None:
        """Shows the end, and removes the bar."""
        self.bar.close()
        seconds, done = time.monotonic() - self.began, self._done()
        logger.info("teach: %d videos in %.0f s", done - self.before, seconds)

    def _done(self) -> int:
        return self.store.count_answers(self.first, self.last) // self.count
