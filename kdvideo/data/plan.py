"""Sample plans: everything random about one sample, as a pure function of seed, `SampleKey` and number of frames.

A plan knows frame numbers and draws, no pixels. So batches do not depend on the number of workers, a run resumes
exactly, and a teacher's outputs can be kept by sample key.
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
    "clip_around",
    "epoch_order",
    "middles_of",
    "plan_clip",
    "plan_fixed_tuple",
    "plan_negatives",
    "plan_sample",
    "plan_uniform_clips",
    "respread",
]

PLAN_VERSION = 1  # raise it when the same sample key gives other frames, draws or pixels

# Evaluation tuples are the same in runs of all seeds, so that runs can be compared.
_FIXED_SEED = 0
_PARTS = 1 << 16  # places in a segment of which one is drawn


@dataclass(frozen=True)
class TupleLayout:
    """How the clips of a tuple lie in a video.

    ::

        tuple_len 3, interval 2, clips of 4 frames:   1111..2222..3333     span 16

    Attributes:
        clip: what one clip is.
        tuple_len: number of clips in a tuple.
        interval: frames between two clips; it shrinks, down to 0, in a video that is too short.
    """

    clip: ClipSpec
    tuple_len: int
    interval: int

    @property
    def min_frames(self) -> int:
        """Length of the shortest possible tuple."""
        return self.tuple_len * self.clip.extent

    def interval_in(self, num_frames: int) -> int:
        """Returns the interval in a video of this length. It is the largest one that fits, up to `interval`."""
        room = (num_frames - self.min_frames) // max(self.tuple_len - 1, 1)
        assert room >= 0, f"{num_frames} frames are fewer than {self.min_frames}"
        return min(self.interval, room)

    def span(self, interval: int) -> int:
        """Returns how many frames a tuple with this interval spans."""
        return self.min_frames + (self.tuple_len - 1) * interval

    def clips_from(self, start: int, interval: int) -> list[ClipFrames]:
        """Returns each clip's frames in the tuple from `start` on."""
        step = self.clip.extent + interval
        return [_clip_frames(start + i * step, self.clip) for i in range(self.tuple_len)]


@dataclass(frozen=True)
class SamplePlan:
    """The plan of one training or evaluation sample.

    Attributes:
        pretext: label, operation and the frames of each clip.
        augments: the augmentation of each clip.
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
    layout: TupleLayout,
    pretext: Pretext,
    *,
    augment: AugmentConfig,
    seed: int,
    key: SampleKey,
    num_frames: int,
    centre: int | None = None,
) -> SamplePlan:
    """Plans the training sample of one video in one epoch.

    Args:
        layout: how the clips of a tuple lie in a video.
        pretext: the pretext task.
        augment: what may be drawn.
        seed: the run's seed.
        key: which sample.
        num_frames: frames of the video, at least `layout.min_frames`.
        centre: the frame around which the tuple lies, as far as the video reaches. Defaults to drawing its place.
    """
    draws = Draws(seed, "sample", epoch=key.epoch, index=key.video)
    interval = layout.interval_in(num_frames)
    last_start = num_frames - layout.span(interval)
    start = draws.integer(last_start + 1)
    if centre is not None:  # all that is drawn later stays as it is
        start = _start_around(centre, layout.span(interval), last_start)
    pretext_plan = pretext.plan(draws, layout.clips_from(start, interval), num_frames=num_frames)
    augments = tuple(draw_augment(draws, augment) for _ in pretext_plan.clips)
    return SamplePlan(pretext=pretext_plan, augments=augments)


def plan_clip(
    clip: ClipSpec, augment: AugmentConfig, *, seed: int, key: SampleKey, num_frames: int
) -> tuple[ClipFrames, AugmentPlan]:
    """Plans one labelled training clip, anywhere in the video.

    A video shorter than a clip is looped. A clip of sampling "uniform" spans the whole video: it has one frame of each
    of `clip_len` equal segments, all at the same drawn place in their segment.

    Args:
        clip: what a clip is.
        augment: what may be drawn.
        seed: the run's seed.
        key: which sample.
        num_frames: frames of the video.
    """
    draws = Draws(seed, "clip", epoch=key.epoch, index=key.video)
    if clip.sampling == "uniform":
        moved = draws.integer(_PARTS)  # by how much of a segment, the same for all
        return _segment_places(clip.clip_len, num_frames, part=(moved, _PARTS)), draw_augment(draws, augment)
    start = draws.integer(max(num_frames - clip.extent, 0) + 1)
    return _looped(_clip_frames(start, clip), num_frames), draw_augment(draws, augment)


def plan_fixed_tuple(
    layout: TupleLayout, pretext: Pretext, *, index: int, slot: int, num_slots: int, num_frames: int
) -> SamplePlan:
    """Plans evaluation tuple `slot` of `num_slots` of one video.

    The tuples are spread over the video, take the labels in turn, and have centre crops.
    """
    draws = Draws(_FIXED_SEED, "fixed", epoch=slot, index=index)
    interval = layout.interval_in(num_frames)
    start = _spread(slot, num_slots, num_frames - layout.span(interval))
    # Videos begin their turn of labels at different slots. Otherwise label and place in the video would be correlated.
    label_slot = slot + index
    clips = layout.clips_from(start, interval)
    pretext_plan = pretext.plan(draws, clips, num_frames=num_frames, label_slot=label_slot)
    return SamplePlan(pretext=pretext_plan, augments=(center_crop_plan(),) * layout.tuple_len)


def plan_uniform_clips(clip: ClipSpec, num_clips: int, *, num_frames: int) -> list[ClipFrames]:
    """Returns the frames of clips spread evenly over a video.

    A video shorter than a clip is looped.

    ::

        num_clips 3:  [1111....2222....3333]          num_clips 1:  [........1111........]

    Clips of sampling "uniform" span the whole video each, interleaved. A single one has the middle frames of equal
    segments, as TSN's test has them (Wang et al., arXiv 1608.00859), and with it X-CLIP, UMT and Something-Something's
    protocols::

        num_clips 2:  [.1..2..1..2..1..2.]            num_clips 1:  [..1.....1.....1..]
    """
    if clip.sampling == "uniform":
        parts = [(2 * i + 1, 2 * num_clips) for i in range(num_clips)]
        return [_segment_places(clip.clip_len, num_frames, part=part) for part in parts]
    last_start = max(num_frames - clip.extent, 0)
    starts = [_spread(i, num_clips, last_start) for i in range(num_clips)]
    return [_looped(_clip_frames(start, clip), num_frames) for start in starts]


def clip_around(clip: ClipSpec, centre: int, *, num_frames: int) -> ClipFrames:
    """Returns the frames of the clip around a frame, as far as the video reaches.

    A video shorter than a clip is looped.
    """
    start = _start_around(centre, clip.extent, max(num_frames - clip.extent, 0))
    return _looped(_clip_frames(start, clip), num_frames)


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
    """Draws an epoch's order of the videos, int64 `[num_samples]`."""
    return Draws(seed, "order", epoch=epoch).permutation(num_samples)


def respread(frames: ClipFrames, clip_len: int) -> ClipFrames:
    """Spreads `clip_len` frames evenly over the span of a clip.

    The clip's first and last frame are included. Frames repeat if the span has fewer.

    ::

        8 frames, stride 1:  01234567      3 of that span:  0..3...7      a single one:  ...3....
    """
    return tuple(frames[0] + _spread(i, clip_len, frames[-1] - frames[0]) for i in range(clip_len))


def middles_of(frames: ClipFrames, clip_len: int) -> ClipFrames:
    """Returns the middle frames of `clip_len` equal segments of the span of a clip.

    ::

        9 frames, stride 1:  012345678     3 of that span:  .1..4..7.
    """
    return tuple(frames[0] + place for place in _segment_places(clip_len, frames[-1] - frames[0] + 1, part=(1, 2)))


def _segment_places(count: int, num_frames: int, *, part: tuple[int, int]) -> ClipFrames:
    """Returns the frame at one place, `part[0] / part[1]`, in each of `count` equal segments. Short videos repeat."""
    numerator, denominator = part
    return tuple((i * denominator + numerator) * num_frames // (count * denominator) for i in range(count))


def _clip_frames(start: int, clip: ClipSpec) -> ClipFrames:
    return tuple(range(start, start + clip.extent, clip.frame_stride))


def _start_around(centre: int, span: int, last_start: int) -> int:
    return min(max(centre - span // 2, 0), last_start)


def _looped(frames: ClipFrames, num_frames: int) -> ClipFrames:
    return tuple(frame % num_frames for frame in frames)


def _spread(i: int, count: int, last: int) -> int:
    """Returns one of `count` places spread from 0 to `last`. A single one lies in the middle."""
    return last // 2 if count == 1 else i * last // (count - 1)
