"""Lists of videos, and clips read from them."""

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from kdvideo.data.cache.frames import CachedFrames, cut_clips, cut_views, map_frames
from kdvideo.data.clip_spec import USUAL_RESIZING, Resizing
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.pretexts.base import ClipFrames
from kdvideo.data.readers.decode import TIME_LIMIT, Reader, iter_frames, read_frames
from kdvideo.data.readers.outage import read_patiently
from kdvideo.data.resize import Cut, Place, crop_clip, find_cut, resize_frames, spread_places, take_frames

__all__ = ["VideoList", "join_lists", "keep_long_enough"]


@dataclass(frozen=True)
class VideoList:
    """Videos, with everything that reading them needs.

    Attributes:
        records: the videos.
        num_frames: how many frames decoding each video gives.
        readers: which reader is right for each video. Defaults to PyAV for all.
        revisions: each video's `VideoProbe.revision`. Defaults to 0 for all.
        time_limit: seconds that reading from a video may take; it changes no frame.
        sizes: height and width of each video, as its file states them. Defaults to not known.
        cached: where each video's decoded frames lie, or None; see `kdvideo.data.cache`. Defaults to None for all.
    """

    records: Sequence[VideoRecord]
    num_frames: Sequence[int]
    readers: Sequence[Reader] = ()
    revisions: Sequence[int] = ()
    time_limit: float = TIME_LIMIT
    sizes: Sequence[tuple[int, int]] = ()
    cached: Sequence[CachedFrames | None] = ()

    def __len__(self) -> int:
        return len(self.records)

    def read_clips(
        self,
        index: int,
        clips: Sequence[ClipFrames],
        *,
        places: Sequence[Place],
        flips: Sequence[bool] = (),
        short_side: int,
        size: int,
        resizing: Resizing = USUAL_RESIZING,
    ) -> list[Tensor]:
        """Reads clips of one video and crops each.

        Each needed frame is decoded once, and only what the crops show of it is resized. Cached frames need neither.

        Args:
            index: the video's number.
            clips: frames of each clip.
            places: where each clip's crop lies.
            flips: whether each clip is mirrored left to right. Defaults to none.
            short_side: pixels to which a frame's shorter side is resized.
            size: height and width of the crop.
            resizing: how frames are resized. Cached frames have been resized as by default, and are used for no other.

        Returns:
            uint8 `[C, T, size, size]` each.

        Raises:
            LostVideoError: the video, which could be read before, cannot be read any more; see `read_patiently`.
        """
        mirrored = flips or [False] * len(clips)
        if (cached := self._cached_frames(index, short_side, resizing)) is not None:
            return cut_clips(cached, clips, places=places, flips=mirrored, size=size)
        needed = {frame for clip in clips for frame in clip}
        path, reader = self.records[index].path, self._reader(index)

        def cut() -> dict[Place, _Cutting]:
            cuttings = {
                place: _Cutting(
                    {frame for clip, other in zip(clips, places, strict=True) if other == place for frame in clip},
                    find_cut=partial(find_cut, place, short_side=short_side, size=size, resizing=resizing),
                )
                for place in set(places)  # clips cut at one place share their frames
            }
            for frame, picture in iter_frames(path, needed, reader=reader, time_limit=self.time_limit):
                for cutting in cuttings.values():
                    cutting.add(frame, picture)
            return cuttings

        cuttings = read_patiently(path, cut, time_limit=self.time_limit)
        cropped = [cuttings[place].take(clip).transpose(0, 1) for clip, place in zip(clips, places, strict=True)]
        return [clip.flip(-1) if flip else clip for clip, flip in zip(cropped, mirrored, strict=True)]

    def read_views(
        self,
        index: int,
        clips: Sequence[ClipFrames],
        *,
        num_crops: int,
        short_side: int,
        size: int,
        resizing: Resizing = USUAL_RESIZING,
        center: float = 0.5,
    ) -> list[Tensor]:
        """Reads clips of one video and crops each several times.

        The crops are spread along the longer side.

        ::

            three crops of a wide clip:  [111] [222] [333]      of a high one, from its top to its bottom

        Args:
            index: the video's number.
            clips: frames of each clip.
            num_crops: crops of each clip; a single one lies in the middle.
            short_side: pixels to which a frame's shorter side is resized.
            size: height and width of the crops.
            resizing: as in `read_clips`.
            center: where the middle of a picture is, see `ClipSpec.center`.

        Returns:
            uint8 `[C, T, size, size]` each, a clip's crops one after the other.

        Raises:
            LostVideoError: the video, which could be read before, cannot be read any more; see `read_patiently`.
        """
        if (cached := self._cached_frames(index, short_side, resizing)) is not None:
            return cut_views(cached, clips, num_crops=num_crops, size=size, center=center)
        needed = sorted({frame for clip in clips for frame in clip})
        path = self.records[index].path
        # One by one: 160 pictures of 4K take 4 GB.
        wanted = [short_side] * (2 if resizing.kind == "squash" else 1)
        shrink = partial(resize_frames, size=wanted, interpolation=resizing.interpolation)
        limit = self.time_limit
        read = partial(read_frames, path, needed, reader=self._reader(index), time_limit=limit, shrink=shrink)
        frames = read_patiently(path, read, time_limit=limit)
        height, width = frames.shape[-2:]
        places = spread_places(num_crops, is_wide=width >= height, center=center)
        return [
            crop_clip(take_frames(frames, [bisect_left(needed, frame) for frame in clip]), place, size=size)
            for clip in clips
            for place in places
        ]

    def _reader(self, index: int) -> Reader:
        return self.readers[index] if self.readers else "pyav"

    def _cached_frames(self, index: int, short_side: int, resizing: Resizing) -> Tensor | None:
        """Returns all frames of a video, uint8 `[T, 3, H, W]`, if they are cached at this size."""
        cached = self.cached[index] if self.cached else None
        if cached is None or cached.short_side != short_side or resizing != USUAL_RESIZING:
            return None
        return map_frames(cached.path)

    def only(self, records: Sequence[VideoRecord]) -> "VideoList":
        """Returns the part of the list with these records."""
        places = {record.name: place for place, record in enumerate(self.records)}
        return self.subset([places[record.name] for record in records])

    def subset(self, indices: Sequence[int]) -> "VideoList":
        """Returns some of the videos, chosen by number."""
        return VideoList(
            [self.records[i] for i in indices],
            [self.num_frames[i] for i in indices],
            [self.readers[i] for i in indices] if self.readers else (),
            [self.revisions[i] for i in indices] if self.revisions else (),
            self.time_limit,
            [self.sizes[i] for i in indices] if self.sizes else (),
            [self.cached[i] for i in indices] if self.cached else (),
        )


class _Cutting:
    """The crops at one place of some frames, made from the pictures as they come.

    Only the windows around the crops are kept of the pictures.

    Args:
        frames: the video frames.
        find_cut: returns where in a picture of some height and width the crop comes from.
    """

    def __init__(self, frames: Collection[int], *, find_cut: Callable[[tuple[int, int]], Cut]) -> None:
        self.frames = sorted(frames)
        self.missing = set(frames)
        self.find_cut = find_cut
        self.windows: _Windows | None = None  # set from the first picture to the last one
        self.crops: Tensor | None = None  # set from then on

    def add(self, frame: int, picture: np.ndarray) -> None:
        """Takes the window of a picture `[H, W, C]`. The last picture makes it resize all windows."""
        if frame not in self.missing:
            return
        if self.windows is None:
            self.windows = _Windows.make(self.find_cut(picture.shape[:2]), len(self.frames), picture=picture)
        self.windows.pixels[bisect_left(self.frames, frame)] = picture[self.windows.cut.window]
        self.missing.remove(frame)
        if not self.missing:
            self.crops = self.windows.resize()
            self.windows = None  # so that the next clip is written into memory that is still in the cache

    def take(self, clip: ClipFrames) -> Tensor:
        """Returns these frames' crops, uint8 `[T, C, size, size]`."""
        assert self.crops is not None, f"frames {self.missing} have not come"
        return take_frames(self.crops, [bisect_left(self.frames, frame) for frame in clip])


class _Windows(NamedTuple):
    """The windows of some pictures from which crops at one place are made.

    Attributes:
        cut: how the windows are resized and cut.
        pixels: uint8 `[T, h, w, C]`.
    """

    cut: Cut
    pixels: np.ndarray

    @classmethod
    def make(cls, cut: Cut, count: int, *, picture: np.ndarray) -> Self:
        """Makes room for the windows of `count` pictures. They have the size of `picture[H, W, C]`."""
        shape = (count, *picture[cut.window].shape)
        # Room for whole pictures, though the rest stays untouched: many sizes would fragment the memory.
        room = np.empty(count * picture.size, dtype=np.uint8)
        return cls(cut, room[: math.prod(shape)].reshape(shape))

    def resize(self) -> Tensor:
        """Returns the crops, uint8 `[T, C, size, size]`."""
        return self.cut.of(torch.from_numpy(self.pixels).permute(0, 3, 1, 2))


def join_lists(lists: Sequence[VideoList]) -> VideoList:
    """Joins several lists of one dataset. Each video, told by its name, appears once, where it is named first."""
    records = [record for videos in lists for record in videos.records]
    num_frames = [frames for videos in lists for frames in videos.num_frames]
    readers: list[Reader] = []
    revisions: list[int] = []
    cached: list[CachedFrames | None] = []
    for videos in lists:
        readers += videos.readers or ["pyav"] * len(videos)
        revisions += videos.revisions or [0] * len(videos)
        cached += videos.cached or [None] * len(videos)
    time_limit = max((videos.time_limit for videos in lists), default=TIME_LIMIT)
    once = {record.name: record for record in records}
    joined = VideoList(records, num_frames, readers, revisions, time_limit, cached=cached)
    return joined.only(list(once.values()))


def keep_long_enough(videos: VideoList, min_frames: int) -> VideoList:
    """Returns the videos that have at least `min_frames` frames.

    Raises:
        ValueError: there is none.
    """
    kept = [i for i, count in enumerate(videos.num_frames) if count >= min_frames]
    if not kept:
        raise ValueError(
            f"all {len(videos)} videos are too short: the longest has {max(videos.num_frames)} frames, a tuple takes "
            f"{min_frames}; lower `clip_len`, `frame_stride` or `tuple_len`"
        )
    return videos.subset(kept)
