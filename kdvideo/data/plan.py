"""Sample plans: everything random about one sample, as a pure function of (seed, epoch, index, num_frames).

A plan knows frame numbers and draws, no pixels. So batches do not depend on the number of workers, a run resumes
exactly, and a teacher's outputs for (epoch, index) can be kept.
"""

from dataclasses import dataclass

import numpy as np

from kdvideo.data.augment.plan import AugmentConfig, AugmentPlan, center_crop_plan, draw_augment
from kdvideo.data.batch import SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.base import ClipFrames, Pretext, PretextPlan
from kdvideo.data.resize import Place

__all__ = [
    "PLAN_VERSION",
    "SamplePlan",
    "TupleLayout",
    "epoch_order",
    "plan_clip",
    "plan_fixed_tuple",
    "plan_negatives",
    "plan_sample",
    "plan_uniform_clips",
    "respread",
]

PLAN_VERSION = 1  # raised when a training sample of the same plan's key gets other frames, draws or pixels

# Evaluation tuples are the same in every run, whatever its seed, so that runs can be compared.
_FIXED_SEED = 0


@dataclass(frozen=True)
class TupleLayout:
    """How the clips of a tuple lie in a video.

    ::

        tuple_len 3, interval 2, clips of 4 frames:   1111..2222..3333     span 16

    Attributes:
        clip: what one clip is.
        tuple_len: clips in a tuple.
        interval: frames between two clips; shrinks to 0 in a video that is too short for it.
    """

    clip: ClipSpec
    tuple_len: int
    interval: int

    @property
    def min_frames(self) -> int:
        """Frames of the shortest video that has room for a tuple: its clips, one right after the other."""
        return self.tuple_len * self.clip.extent

    def interval_in(self, num_frames: int) -> int:
        """The largest interval, at most `interval`, with which the tuple fits into the video."""
        room = (num_frames - self.min_frames) // (self.tuple_len - 1)
        assert room >= 0, f"{num_frames} frames are fewer than {self.min_frames}"
        return min(self.interval, room)

    def span(self, interval: int) -> int:
        """Frames from the tuple's first to its last, both counted."""
        return self.min_frames + (self.tuple_len - 1) * interval

    def clips_from(self, start: int, interval: int) -> list[ClipFrames]:
        """The frames of each clip of the tuple that begins at `start`."""
        step = self.clip.extent + interval
        return [_clip_frames(start + i * step, self.clip) for i in range(self.tuple_len)]


@dataclass(frozen=True)
class SamplePlan:
    """One training or evaluation sample.

    Attributes:
        pretext: label, operation and the frames of each clip.
        augments: one draw a clip.
    """

    pretext: PretextPlan
    augments: tuple[AugmentPlan, ...]

    @property
    def clips(self) -> tuple[ClipFrames, ...]:
        """The video frames of each clip."""
        return self.pretext.clips

    @property
    def places(self) -> list[Place]:
        """Where each clip's crop lies."""
        return [augment.crop for augment in self.augments]

    @property
    def flips(self) -> list[bool]:
        """Whether each clip is mirrored left to right."""
        return [augment.flip for augment in self.augments]


def plan_sample(
    layout: TupleLayout, pretext: Pretext, *, augment: AugmentConfig, seed: int, key: SampleKey, num_frames: int
) -> SamplePlan:
    """Plans the training sample of one video in one epoch.

    Args:
        layout: how the clips of a tuple lie.
        pretext: the pretext task.
        augment: what may be drawn.
        seed: the run's seed.
        key: which sample.
        num_frames: frames of the video, at least `layout.min_frames`.
    """
    draws = Draws(seed, "sample", epoch=key.epoch, index=key.video)
    interval = layout.interval_in(num_frames)
    start = draws.integer(num_frames - layout.span(interval) + 1)
    pretext_plan = pretext.plan(draws, layout.clips_from(start, interval), num_frames=num_frames)
    augments = tuple(draw_augment(draws, augment) for _ in pretext_plan.clips)
    return SamplePlan(pretext=pretext_plan, augments=augments)


def plan_clip(
    clip: ClipSpec, augment: AugmentConfig, *, seed: int, key: SampleKey, num_frames: int
) -> tuple[ClipFrames, AugmentPlan]:
    """Plans one labelled training clip: somewhere in the video, which is looped where it is shorter than a clip.

    Args:
        clip: what a clip is.
        augment: what may be drawn.
        seed: the run's seed.
        key: which sample.
        num_frames: frames of the video.
    """
    draws = Draws(seed, "clip", epoch=key.epoch, index=key.video)
    start = draws.integer(max(num_frames - clip.extent, 0) + 1)
    return _looped(_clip_frames(start, clip), num_frames), draw_augment(draws, augment)


def plan_fixed_tuple(
    layout: TupleLayout, pretext: Pretext, *, index: int, slot: int, num_slots: int, num_frames: int
) -> SamplePlan:
    """Plans evaluation tuple `slot` of `num_slots` of one video: spread over the video, labels in turn, centre crop."""
    draws = Draws(_FIXED_SEED, "fixed", epoch=slot, index=index)
    interval = layout.interval_in(num_frames)
    start = _spread(slot, num_slots, num_frames - layout.span(interval))
    # Videos begin their turn of labels at different slots, or label and place in the video would go together.
    label_slot = slot + index
    clips = layout.clips_from(start, interval)
    pretext_plan = pretext.plan(draws, clips, num_frames=num_frames, label_slot=label_slot)
    return SamplePlan(pretext=pretext_plan, augments=(center_crop_plan(),) * layout.tuple_len)


def plan_uniform_clips(clip: ClipSpec, num_clips: int, *, num_frames: int) -> list[ClipFrames]:
    """The frames of `num_clips` clips spread evenly over a video; a video shorter than a clip is looped.

    ::

        num_clips 3:  [1111....2222....3333]          num_clips 1:  [........1111........]
    """
    last_start = max(num_frames - clip.extent, 0)
    starts = [_spread(i, num_clips, last_start) for i in range(num_clips)]
    return [_looped(_clip_frames(start, clip), num_frames) for start in starts]


def plan_negatives(*, seed: int, key: SampleKey, num_videos: int, num_negatives: int) -> np.ndarray:
    """Draws the videos whose bank entries are a sample's negatives.

    They are drawn without replacement, and never include the sample's own video.

    Returns:
        int64 `[min(num_negatives, num_videos - 1)]`.
    """
    draws = Draws(seed, "negative", epoch=key.epoch, index=key.video)
    others = draws.distinct(min(num_negatives, num_videos - 1), num_videos - 1)
    return others + (others >= key.video)  # 0 .. index-1, index+1 .. num_videos-1


def epoch_order(*, seed: int, epoch: int, num_samples: int) -> np.ndarray:
    """The order in which an epoch goes through the videos, int64 `[num_samples]`."""
    return Draws(seed, "order", epoch=epoch).permutation(num_samples)


def respread(frames: ClipFrames, clip_len: int) -> ClipFrames:
    """`clip_len` frames spread evenly over the span of a clip, its first and last included; repeated where it is short.

    ::

        8 frames, stride 1:  01234567      3 of that span:  0..3...7      a single one:  ...3....
    """
    return tuple(frames[0] + _spread(i, clip_len, frames[-1] - frames[0]) for i in range(clip_len))


def _clip_frames(start: int, clip: ClipSpec) -> ClipFrames:
    return tuple(range(start, start + clip.extent, clip.frame_stride))


def _looped(frames: ClipFrames, num_frames: int) -> ClipFrames:
    return tuple(frame % num_frames for frame in frames)


def _spread(i: int, count: int, last: int) -> int:
    """The i-th of `count` places spread evenly over 0 .. last, ends included; a single one lies in the middle."""
    return last // 2 if count == 1 else i * last // (count - 1)
