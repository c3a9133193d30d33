"""Lists of videos, and clips read from them."""

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from kdvideo.data.augment.plan import AugmentPlan, crop_clip, spread_crops
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.pretexts.base import ClipFrames
from kdvideo.data.readers.decode import TIME_LIMIT, Reader, iter_frames, read_frames
from kdvideo.data.readers.outage import read_patiently
from kdvideo.data.resize import Cut, plan_cut

__all__ = ["VideoList", "join_lists", "keep_long_enough"]


@dataclass(frozen=True)
class VideoList:
    """Videos with what reading them needs.

    Attributes:
        records: the videos.
        num_frames: how many frames decoding each gives.
        readers: which reader is right for each; without them, PyAV for all.
        revisions: of each, `VideoProbe.revision`; without them, 0 for all.
        time_limit: seconds that reading from a video may take; it changes no frame.
    """

    records: Sequence[VideoRecord]
    num_frames: Sequence[int]
    readers: Sequence[Reader] = ()
    revisions: Sequence[int] = ()
    time_limit: float = TIME_LIMIT

    def __len__(self) -> int:
        return len(self.records)

    def read_clips(
        self, index: int, clips: Sequence[ClipFrames], *, crops: Sequence[AugmentPlan], short_side: int, size: int
    ) -> list[Tensor]:
        """Clips of one video: decodes each needed frame once, resizes what the crops show of it and crops.

        Args:
            index: the video's number.
            clips: frames of each clip.
            crops: what is cut from each clip.
            short_side: pixels to which a frame's shorter side is resized.
            size: of the crop.

        Returns:
            uint8 `[C, T, size, size]` each.

        Raises:
            LostVideoError: the video, which has been looked at before, cannot be read any more; see `read_patiently`.
        """
        needed = {frame for clip in clips for frame in clip}
        path, reader = self.records[index].path, self._reader(index)

        def cut() -> dict[tuple[float, float], _Cutting]:
            cuttings = {
                where: _Cutting(
                    {frame for clip, crop in zip(clips, crops, strict=True) if crop.crop == where for frame in clip},
                    plan=partial(plan_cut, where, short_side=short_side, size=size),
                )
                for where in {crop.crop for crop in crops}  # clips cut at one place share their frames
            }
            for frame, picture in iter_frames(path, needed, reader=reader, time_limit=self.time_limit):
                for cutting in cuttings.values():
                    cutting.add(frame, picture)
            return cuttings

        cuttings = read_patiently(path, cut, time_limit=self.time_limit)
        return [
            crop_clip(cuttings[crop.crop].take(clip), crop, size=size) for clip, crop in zip(clips, crops, strict=True)
        ]

    def read_views(
        self, index: int, clips: Sequence[ClipFrames], *, num_crops: int, short_side: int, size: int
    ) -> list[Tensor]:
        """Clips of one video, each cut at places spread along its longer side; a single one lies in the middle.

        ::

            three crops of a wide clip:  [111] [222] [333]      of a high one, from its top to its bottom

        Args:
            index: as in `read_clips`.
            clips: as in `read_clips`.
            num_crops: of each clip.
            short_side: as in `read_clips`.
            size: as in `read_clips`.

        Returns:
            uint8 `[C, T, size, size]` each, a clip's crops one after the other.

        Raises:
            LostVideoError: as `read_clips`.
        """
        needed = sorted({frame for clip in clips for frame in clip})
        path = self.records[index].path
        shrink = partial(F.resize, size=[short_side], antialias=True)  # one by one: 160 pictures of 4K would take 4 GB
        limit = self.time_limit
        read = partial(read_frames, path, needed, reader=self._reader(index), time_limit=limit, shrink=shrink)
        frames = read_patiently(path, read, time_limit=limit)
        height, width = frames.shape[-2:]
        crops = spread_crops(num_crops, is_wide=width >= height)
        return [
            crop_clip(_take(frames, [bisect_left(needed, frame) for frame in clip]), crop, size=size)
            for clip in clips
            for crop in crops
        ]

    def _reader(self, index: int) -> Reader:
        return self.readers[index] if self.readers else "pyav"

    def only(self, records: Sequence[VideoRecord]) -> "VideoList":
        """The part of the list that these records of it make."""
        places = {record.name: place for place, record in enumerate(self.records)}
        return self.subset([places[record.name] for record in records])

    def subset(self, indices: Sequence[int]) -> "VideoList":
        """Some of the videos, by number."""
        return VideoList(
            [self.records[i] for i in indices],
            [self.num_frames[i] for i in indices],
            [self.readers[i] for i in indices] if self.readers else (),
            [self.revisions[i] for i in indices] if self.revisions else (),
            self.time_limit,
        )


class _Cutting:
    """The crops at one place of some frames, made of the pictures as they come: nothing but their windows is kept.

    Args:
        frames: the video frames.
        plan: where in a picture of some height and width the crop comes from.
    """

    def __init__(self, frames: Collection[int], *, plan: Callable[[tuple[int, int]], Cut]) -> None:
        self.frames = sorted(frames)
        self.plan = plan
        self.missing = set(frames)
        self.crops: Tensor | None = None

    def add(self, frame: int, picture: np.ndarray) -> None:
        """Takes what it needs of a picture `[H, W, C]`; resizes all windows when the last one is there."""
        if frame not in self.missing:
            return
        if len(self.missing) == len(self.frames):
            self.cut = self.plan(picture.shape[:2])
            shape = (len(self.frames), *picture[self.cut.window].shape)
            # Room for whole pictures, the rest untouched: memory of one size is used again, of many sizes it frays.
            room = np.empty(len(self.frames) * picture.size, dtype=np.uint8)
            self.windows = room[: math.prod(shape)].reshape(shape)
        self.windows[bisect_left(self.frames, frame)] = picture[self.cut.window]
        self.missing.remove(frame)
        if not self.missing:
            self.crops = self.cut.of(torch.from_numpy(self.windows).permute(0, 3, 1, 2))
            del self.windows  # for the next one to be written into memory that is warm

    def take(self, clip: ClipFrames) -> Tensor:
        """The crops of these frames, uint8 `[T, C, size, size]`."""
        assert self.crops is not None, f"frames {self.missing} have not come"
        return _take(self.crops, [bisect_left(self.frames, frame) for frame in clip])


def _take(frames: Tensor, places: Sequence[int]) -> Tensor:
    """`frames[places]`, as a view where the places are evenly spaced: copying costs as much as cropping."""
    steps = {later - earlier for earlier, later in pairwise(places)}
    if len(steps) == 1 and (step := steps.pop()) > 0:
        return frames[places[0] : places[-1] + 1 : step]
    return frames[list(places)]


def join_lists(lists: Sequence[VideoList]) -> VideoList:
    """Every video of several lists of one dataset once, by its name, in the order in which they name it first."""
    records = [record for videos in lists for record in videos.records]
    num_frames = [frames for videos in lists for frames in videos.num_frames]
    readers: list[Reader] = []
    revisions: list[int] = []
    for videos in lists:
        readers += videos.readers or ["pyav"] * len(videos)
        revisions += videos.revisions or [0] * len(videos)
    time_limit = max((videos.time_limit for videos in lists), default=TIME_LIMIT)
    once = {record.name: record for record in records}
    return VideoList(records, num_frames, readers, revisions, time_limit).only(list(once.values()))


def keep_long_enough(videos: VideoList, min_frames: int) -> VideoList:
    """The videos of at least `min_frames` frames.

    Raises:
        ValueError: there is none.
    """
    kept = [i for i, count in enumerate(videos.num_frames) if count >= min_frames]
    if not kept:
        raise ValueError(
            f"all {len(videos)} videos are too short: the longest has {max(videos.num_frames)} frames, a tuple takes "
            f"{min_frames}; lower CLIP.LENGTH, CLIP.FRAME_STRIDE or PRETEXT.TUPLE_LEN"
        )
    return videos.subset(kept)
