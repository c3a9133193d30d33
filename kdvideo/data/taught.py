"""Training tuples with a second view for a teacher that takes its own frames."""

from typing import Unpack

from torch import Tensor

from kdvideo.data.augment.plan import augment_each
from kdvideo.data.batch import Sample, SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import SamplePlan, middles_of, respread
from kdvideo.data.samples import SampleOptions, TrainTuples, TupleConfig
from kdvideo.data.videos import VideoList

__all__ = ["TaughtTuples"]


class TaughtTuples(TrainTuples):
    """`TrainTuples` whose samples bring along the teacher's own frames of the same spans.

    ::

        student, 4 frames, stride 2:    s.s.s.s    s.s.s.s    s.s.s.s
        teacher, 7 frames:              ttttttt    ttttttt    ttttttt

    The teacher sees the same part of the picture, unless its convention has a short side of its own: then it is more
    or less of it, around the same place. A teacher that squeezes frames into a square sees all that its own crop
    leaves. Its clips are cut out at its own size, from frames that have not been made small for the student first.
    Colours, blur and pretext operation are the student's. The teacher's frames are decoded once more, and the worker
    always augments them.

    Args:
        videos: each at least `config.layout.min_frames` long.
        config: what a tuple is.
        teacher: the teacher's input convention.
        options: see `TrainTuples`.
    """

    def __init__(
        self, videos: VideoList, config: TupleConfig, *, teacher: ClipSpec, **options: Unpack[SampleOptions]
    ) -> None:
        super().__init__(videos, config, **options)
        self.teacher = teacher

    @property
    def teacher_short_side(self) -> int:
        """Returns the shorter side of the teacher's frames: its own number, or the student's in proportion."""
        usual = round(self.config.short_side * self.teacher.size / self.clip_size)
        return usual if self.teacher.short_side is None else self.teacher.short_side

    def read(self, key: SampleKey, plan: SamplePlan) -> Sample:
        """Adds `teacher_clips` to the sample, uint8 `[N, C, T', H', W']`."""
        return {**super().read(key, plan), "teacher_clips": self.read_teacher_clips(key.video, plan)}

    def read_teacher_clips(self, index: int, plan: SamplePlan) -> Tensor:
        """Reads the planned clips for the teacher, uint8 `[N, C, T', H', W']`."""
        config, teacher = self.config, self.teacher
        spread = middles_of if teacher.sampling == "uniform" else respread
        clips = self.videos.read_clips(
            index,
            [spread(frames, teacher.clip_len) for frames in plan.clips],
            places=plan.places,
            flips=plan.flips,
            short_side=self.teacher_short_side,
            size=teacher.size,
            resizing=teacher.resizing,
        )
        return config.pretext.apply(augment_each(clips, plan.augments), plan.pretext)
