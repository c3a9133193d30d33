"""The views of a video to which a teacher answers: a few clips of its own, the same in all epochs, for all students."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Dataset

from kdvideo.data.batch import Sample, SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.draws import Draws
from kdvideo.data.plan import SamplePlan, clip_around, middles_of, plan_sample
from kdvideo.data.pretexts.base import ClipFrames
from kdvideo.data.samples import SampleOptions, TrainTuples, TupleConfig
from kdvideo.data.videos import VideoList

__all__ = [
    "VIEWS_VERSION",
    "TeacherViews",
    "ViewGroups",
    "ViewedTuples",
    "draw_view",
    "plan_view",
    "read_views",
    "view_centre",
]

VIEWS_VERSION = 1  # raise it when the same view gives other frames or pixels


@dataclass(frozen=True)
class TeacherViews:
    """The views of every video.

    Attributes:
        clip: the teacher's input convention.
        count: K, the views of a video.
        kept: the places of a tuple whose clips are compared with a view, as `kept_clips` gives them.
        are_answered: tells whether the answers to some views are kept: of the views' numbers and their videos'.
    """

    clip: ClipSpec
    count: int
    kept: tuple[int, ...]
    are_answered: Callable[[ArrayLike, ArrayLike], bool]


class ViewedTuples(TrainTuples):
    """`TrainTuples` that lie around one of K views of their videos, each sample around another.

    ::

        K = 3 views         |   ttttttt  |  ttttttt   |  ttttttt   |
        epoch 0                            s.s s.s s.s                the rest of a sample is drawn as without views
        epoch 1               s.s s.s s.s

    A batch whose answers are not kept yet brings along the teacher's clips. Otherwise none is decoded.

    Args:
        videos: each at least `config.layout.min_frames` long.
        config: what a tuple is.
        views: the views of each video.
        options: see `TrainTuples`.
    """

    def __init__(
        self, videos: VideoList, config: TupleConfig, *, views: TeacherViews, **options: Unpack[SampleOptions]
    ) -> None:
        super().__init__(videos, config, **options)
        self.views = views

    def view_of(self, key: SampleKey) -> int:
        """Returns the number of a sample's view."""
        return draw_view(self.views.count, seed=self.seed, key=key)

    def plan(self, key: SampleKey) -> SamplePlan:
        """Returns what the sample is made of."""
        num_frames = self.videos.num_frames[key.video]
        return plan_sample(
            self.config.layout,
            self.config.pretext,
            augment=self.config.augment,
            seed=self.seed,
            key=key,
            num_frames=num_frames,
            centre=view_centre(self.view_of(key), self.views.count, num_frames=num_frames),
        )

    def read(self, key: SampleKey, plan: SamplePlan) -> Sample:
        """Reads the planned sample and adds the number of its `view`."""
        return {**super().read(key, plan), "view": self.view_of(key)}

    def __getitems__(self, keys: Sequence[SampleKey | tuple[int, int]]) -> list[Sample]:
        """Reads the samples of a batch. PyTorch's loader asks for it.

        Each sample has `teacher_clips`, uint8 `[1, C, T', H', W']`, if the answer to any of them is missing.
        """
        return self.add_clips([self[key] for key in keys])

    def add_clips(self, samples: Sequence[Sample], *, name: str = "teacher_clips") -> list[Sample]:
        """Adds the teacher's clips to samples under a name, if the answer to any of them is missing."""
        views, videos = [sample["view"] for sample in samples], [sample["index"] for sample in samples]
        if self.views.are_answered(views, videos):
            return list(samples)
        clips = [self._read_view(video, view) for video, view in zip(videos, views, strict=True)]
        added: list[Any] = [{**sample, name: clip} for sample, clip in zip(samples, clips, strict=True)]
        return added

    def _read_view(self, video: int, view: int) -> Tensor:
        return read_views(self.videos, video, [view], clip=self.views.clip, count=self.views.count)


def draw_view(count: int, *, seed: int, key: SampleKey) -> int:
    """Draws the view of a sample. Each `count` epochs in a row, all views of a video come up once."""
    turn, place = divmod(key.epoch, count)
    return int(Draws(seed, "view", epoch=turn, index=key.video).permutation(count)[place])


def view_centre(view: int, count: int, *, num_frames: int) -> int:
    """Returns the frame in the middle of the k-th of `count` equal parts of a video.

    ::

        count 3:  |...1...|...2...|...3...|
    """
    return (2 * view + 1) * num_frames // (2 * count)


def plan_view(clip: ClipSpec, view: int, count: int, *, num_frames: int) -> ClipFrames:
    """Returns the frames of one view.

    It lies around its centre, as far as the video reaches. A video shorter than a clip is looped. A clip of sampling
    "uniform" has the middle frames of equal segments of the k-th of `count` equal parts.

    Args:
        clip: the teacher's input convention.
        view: the view's number, below `count`.
        count: the views of a video.
        num_frames: frames of the video.
    """
    if clip.sampling == "uniform":
        first, end = view * num_frames // count, (view + 1) * num_frames // count
        return middles_of((first, max(end - 1, first)), clip.clip_len)
    return clip_around(clip, view_centre(view, count, num_frames=num_frames), num_frames=num_frames)


def read_views(videos: VideoList, index: int, views: Sequence[int], *, clip: ClipSpec, count: int) -> Tensor:
    """Reads views of one video, without augmentation.

    Args:
        videos: the videos.
        index: the video's number.
        views: the numbers of the views.
        clip: the teacher's input convention.
        count: the views of a video.

    Returns:
        uint8 `[views, C, T, H, W]`, centre crops.
    """
    num_frames = videos.num_frames[index]
    clips = videos.read_clips(
        index,
        [plan_view(clip, view, count, num_frames=num_frames) for view in views],
        places=[(clip.center, clip.center)] * len(views),
        short_side=clip.own_short_side,
        size=clip.size,
        resizing=clip.resizing,
    )
    return torch.stack(clips)


class ViewGroups(Dataset):
    """All views of a few videos at a time, for a teacher that answers to a whole dataset.

    A group is computed as a whole, always in the same batches, so that its answers' last bits do not depend on who
    computes them, or on how often that was interrupted. Each process has an order of its own. A process that
    comes to a group late finds the others' answers. So processes share the work without knowing each other.

    Args:
        videos: the videos.
        groups: the numbers of each group's videos, in the order in which they are read.
        views: the views of each video.
        num_ranks: the processes among which a loader deals out samples. Each of them gets all groups.
    """

    def __init__(
        self, videos: VideoList, groups: Sequence[Sequence[int]], *, views: TeacherViews, num_ranks: int = 1
    ) -> None:
        self.videos = videos
        self.groups = groups
        self.views = views
        self.num_ranks = num_ranks

    def __len__(self) -> int:
        return len(self.groups) * self.num_ranks

    def __getitem__(self, place: int) -> dict[str, Any]:
        """Reads a group, `clips` uint8 `[videos * K, C, T, H, W]`, with the `view` and the `index` of each, int64.

        If all answers are kept, there are no clips.
        """
        group, count = self.groups[place // self.num_ranks], self.views.count
        index = np.repeat(np.array(group, dtype=np.int64), count)
        view = np.tile(np.arange(count), len(group))
        described = {"view": torch.from_numpy(view), "index": torch.from_numpy(index)}
        if self.views.are_answered(view, index):
            return described
        clips = [read_views(self.videos, video, range(count), clip=self.views.clip, count=count) for video in group]
        return {**described, "clips": torch.cat(clips)}
