"""Lists of videos, and clips read from them."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor
from torchvision.transforms.v2 import functional as F

from kdvideo.data.augment import AugmentPlan, crop_clip, spread_crops
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.decode import Reader, read_frames
from kdvideo.data.pretext import ClipFrames
from kdvideo.data.resize import resize_and_cut

__all__ = ["VideoList", "join_lists", "keep_long_enough"]


@dataclass(frozen=True)
class VideoList:
    """Videos with what reading them needs.

    Attributes:
        records: the videos.
        num_frames: how many frames decoding each gives.
        readers: which reader is right for each; without them, PyAV for all.
    """

    records: Sequence[VideoRecord]
    num_frames: Sequence[int]
    readers: Sequence[Reader] = ()

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
            OSError: the video, which has been looked at before, cannot be read any more.
        """
        frames, place = self._read(index, clips)
        done: dict[int, Tensor] = {}
        for where in dict.fromkeys(crop.crop for crop in crops):  # clips cut at one place share their resized frames
            alike = [i for i, crop in enumerate(crops) if crop.crop == where]
            needed = sorted({frame for i in alike for frame in clips[i]})
            taken = _take(frames, [place[frame] for frame in needed])
            cut = resize_and_cut(taken, where, short_side=short_side, size=size)
            for i in alike:
                done[i] = crop_clip(_take(cut, [bisect_left(needed, frame) for frame in clips[i]]), crops[i], size=size)
        return [done[i] for i in range(len(clips))]

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
            OSError: as `read_clips`.
        """
        frames, place = self._read(index, clips)
        frames = F.resize(frames, [short_side], antialias=True)
        height, width = frames.shape[-2:]
        crops = spread_crops(num_crops, is_wide=width >= height)
        return [
            crop_clip(_take(frames, [place[frame] for frame in clip]), crop, size=size)
            for clip in clips
            for crop in crops
        ]

    def _read(self, index: int, clips: Sequence[ClipFrames]) -> tuple[Tensor, dict[int, int]]:
        """Each frame that clips need, uint8 `[F, C, H, W]`, and where among them it is."""
        needed = sorted({frame for clip in clips for frame in clip})
        reader: Reader = self.readers[index] if self.readers else "pyav"
        try:
            frames = read_frames(self.records[index].path, needed, reader=reader)
        except ValueError as error:  # the list holds only what has been read once
            raise OSError(f"{error}; it could be read when the run began: bring back DATA.ROOT as it was") from None
        return frames, {frame: i for i, frame in enumerate(needed)}

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
        )


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
    for videos in lists:
        readers += videos.readers or ["pyav"] * len(videos)
    return VideoList(records, num_frames, readers).only(list({record.name: record for record in records}.values()))


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
