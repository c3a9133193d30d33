"""Training tuples with a second view for a teacher that takes its own frames."""

from typing import Any

from kdvideo.data.augment.plan import augment_each
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import respread
from kdvideo.data.samples import TrainTuples

__all__ = ["TaughtTuples"]


class TaughtTuples(TrainTuples):
    """`TrainTuples` whose samples bring along the teacher's own frames of the same spans.

    ::

        student, 4 frames, stride 2:    s.s.s.s    s.s.s.s    s.s.s.s
        teacher, 7 frames:              ttttttt    ttttttt    ttttttt

    The same part of the picture is cut out at the teacher's own size, from frames that have not been made small for
    the student first; colours, blur and pretext operation are the student's. They are decoded once more and always
    augmented by the worker.

    Args:
        teacher: its input convention.
        arguments: those of `TrainTuples`.
    """

    def __init__(self, *arguments: Any, teacher: ClipSpec, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.teacher = teacher

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """As `TrainTuples`, with `teacher_clips`, uint8 `[N, C, T', H', W']`."""
        plan, config = self.plan(key), self.config
        clips = self.videos.read_clips(
            key[1],
            [respread(frames, self.teacher.clip_len) for frames in plan.clips],
            crops=plan.augments,
            short_side=round(config.short_side * self.teacher.size / config.layout.clip.size),
            size=self.teacher.size,
        )
        teacher_clips = config.pretext.apply(augment_each(clips, plan.augments), plan.pretext)
        return {**super().__getitem__(key), "teacher_clips": teacher_clips}
