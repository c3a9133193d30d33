"""Training samples of runs with tuples: whatever the task's teacher needs comes along."""

import logging
from typing import Unpack

from fvcore.common.config import CfgNode

from kdvideo.data.many import ManyTaughtTuples
from kdvideo.data.misfits import tell_short, tell_small
from kdvideo.data.samples import SampleOptions, TrainTuples, TupleConfig
from kdvideo.data.taught import TaughtTuples
from kdvideo.data.videos import VideoList, keep_long_enough
from kdvideo.data.views import ViewedTuples
from kdvideo.tasks.task import Task

__all__ = ["build_tuples", "long_enough"]

logger = logging.getLogger("kdvideo")


def build_tuples(cfg: CfgNode, task: Task, videos: VideoList, tuples: TupleConfig) -> TrainTuples:
    """Builds the samples of a task, with each teacher's own frames or views of the videos if it has any.

    Args:
        cfg: a valid config.
        task: says how many negatives it needs, and what its teacher sees.
        videos: the training videos, each long enough for a tuple.
        tuples: what a tuple is.
    """
    options: SampleOptions = {
        "seed": cfg.SEED,
        "num_negatives": task.num_negatives,
        "augment_on": cfg.DATA.AUGMENT_ON,
    }
    if len(task.teacher_inputs) > 1:
        return _build_many(videos, tuples, task, **options)
    if task.teacher_views is not None:
        clip = task.teacher_views.clip
        tell_short(videos, clip, who="the teacher")
        tell_small(videos, clip.own_short_side, who="the teacher")
        return ViewedTuples(videos, tuples, views=task.teacher_views, **options)
    if task.teacher_clip_spec is None:
        return TrainTuples(videos, tuples, **options)
    taught = TaughtTuples(videos, tuples, teacher=task.teacher_clip_spec, **options)
    tell_small(videos, taught.teacher_short_side, who="the teacher")
    return taught


def _build_many(
    videos: VideoList, tuples: TupleConfig, task: Task, **options: Unpack[SampleOptions]
) -> ManyTaughtTuples:
    dataset = ManyTaughtTuples(videos, tuples, teachers=task.teacher_inputs, **options)
    for number, viewed in dataset.viewed.items():
        tell_short(videos, viewed.views.clip, who=f"teacher {number}")
        tell_small(videos, viewed.views.clip.own_short_side, who=f"teacher {number}")
    for number, taught in dataset.taught.items():
        tell_small(videos, taught.teacher_short_side, who=f"teacher {number}")
    return dataset


def long_enough(videos: VideoList, min_frames: int) -> VideoList:
    """Returns the videos that have room for a tuple. The log says how many are left out."""
    usable = keep_long_enough(videos, min_frames)
    logger.info(
        "%d training videos; %d left out, shorter than the %d frames of a tuple",
        len(usable),
        len(videos) - len(usable),
        min_frames,
    )
    return usable
