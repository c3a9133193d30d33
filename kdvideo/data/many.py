"""Training tuples for several teachers, of which each may have frames or views of its own."""

from collections.abc import Sequence
from typing import Any, Unpack

from kdvideo.data.batch import Sample, SampleKey, key_of_teacher
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import SamplePlan
from kdvideo.data.samples import SampleOptions, TrainTuples, TupleConfig
from kdvideo.data.taught import TaughtTuples
from kdvideo.data.videos import VideoList
from kdvideo.data.views import TeacherViews, ViewedTuples

__all__ = ["ManyTaughtTuples"]


class ManyTaughtTuples(TrainTuples):
    """`TrainTuples` that bring along what each of several teachers needs, as `TaughtTuples` and `ViewedTuples` do.

    If teachers have views, all have as many of a video, and a sample lies around the same one of each.

    Args:
        videos: each at least `config.layout.min_frames` long.
        config: what a tuple is.
        teachers: the input convention of each teacher with frames of its own, the views of one that has them, and None
            of one that sees the student's clips.
        options: see `TrainTuples`.
    """

    def __init__(
        self,
        videos: VideoList,
        config: TupleConfig,
        *,
        teachers: Sequence[ClipSpec | TeacherViews | None],
        **options: Unpack[SampleOptions],
    ) -> None:
        super().__init__(videos, config, **options)
        self.taught: dict[int, TaughtTuples] = {}
        self.viewed: dict[int, ViewedTuples] = {}
        for number, one in enumerate(teachers, start=1):
            if isinstance(one, TeacherViews):
                self.viewed[number] = ViewedTuples(videos, config, views=one, **options)
            elif one is not None:
                self.taught[number] = TaughtTuples(videos, config, teacher=one, **options)

    def plan(self, key: SampleKey) -> SamplePlan:
        """Returns what the sample is made of."""
        for dataset in self.viewed.values():
            return dataset.plan(key)
        return super().plan(key)

    def read(self, key: SampleKey, plan: SamplePlan) -> Sample:
        """Reads the planned sample. It adds the number of its `view`, and clips of teachers with frames of their own.

        These are uint8 `[N, C, T', H', W']`.
        """
        sample: Any = super().read(key, plan)
        for number, dataset in self.taught.items():
            sample[key_of_teacher("teacher_clips", number)] = dataset.read_teacher_clips(key.video, plan)
        for viewed in self.viewed.values():
            sample["view"] = viewed.view_of(key)
        return sample

    def __getitems__(self, keys: Sequence[SampleKey | tuple[int, int]]) -> list[Sample]:
        """Reads the samples of a batch. PyTorch's loader asks for it.

        Each sample has the clips of a teacher with views, uint8 `[1, C, T', H', W']`, if the answer to any is missing.
        """
        samples = [self[key] for key in keys]
        for number, dataset in self.viewed.items():
            samples = dataset.add_clips(samples, name=key_of_teacher("teacher_clips", number))
        return samples
