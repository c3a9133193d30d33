"""Loads videos and clips by one call each, for loops of your own, as a run does from its config."""

from pathlib import Path

import torch
from torch import Tensor

from kdvideo.data.checking.check import usable_videos
from kdvideo.data.checking.isolation import available_cores
from kdvideo.data.checking.look import look_at
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import Subset, VideoRecord
from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.data.readers.file_errors import VideoError
from kdvideo.data.readers.outage import LostVideoError
from kdvideo.data.samples import UniformClips
from kdvideo.data.videos import VideoList
from kdvideo.registry import DATASETS

__all__ = ["NUM_CLIPS", "load_clips", "load_dataset", "read_uniform_clips"]

NUM_CLIPS = 10  # per video, as in retrieval and the test of classifiers
_MAX_BAD_FRACTION = 0.01  # DATA.MAX_BAD_FRACTION's default


def load_clips(path: Path | str, spec: ClipSpec, *, num_clips: int = NUM_CLIPS) -> Tensor:
    """Reads clips spread evenly over one video.

    The frames are resized and centre-cropped as `kdvideo embed` and the evaluation do it. A video that is shorter than
    a clip is looped.

    >>> import kdvideo
    >>> model = kdvideo.create_model("r3d_10_w16.pcl-vcp_ucf101mini-s1", pretrained=True).eval()
    >>> clips = kdvideo.load_clips("video.mp4", model.clip_spec)
    >>> clips.shape, clips.dtype
    (torch.Size([10, 3, 8, 56, 56]), torch.uint8)
    >>> model(kdvideo.prepare_clips(clips, model.clip_spec)).shape
    torch.Size([10, 128])

    Args:
        path: the video.
        spec: the input convention of the model that will see the clips.
        num_clips: how many clips to read.

    Returns:
        uint8 `[num_clips, C, T, size, size]`, RGB. `prepare_clips` normalises them.

    Raises:
        VideoError: the video cannot be read.
        ValueError: `num_clips` is below 1.
    """
    if num_clips < 1:
        raise ValueError(f"num_clips is {num_clips}; it must be 1 or more")
    clips, _ = read_uniform_clips(Path(path), spec, num_clips=num_clips)
    return clips


def read_uniform_clips(
    path: Path, spec: ClipSpec, *, num_clips: int, time_limit: float = TIME_LIMIT
) -> tuple[Tensor, int]:
    """Reads clips spread evenly over a video.

    Nothing has to be known of the video.

    Args:
        path: the video.
        spec: the model's input convention.
        num_clips: how many clips to read.
        time_limit: seconds that looking at the video, and then reading its clips, may take.

    Returns:
        The clips, uint8 `[num_clips, C, T, size, size]`, and the number of frames of the video.

    Raises:
        VideoError: the video cannot be read.
    """
    found = look_at(path, time_limit=time_limit).found
    if found.problem:
        raise VideoError(path, found.problem)
    record = VideoRecord(path, path.name, class_id=None)
    video = VideoList([record], [found.frames], [found.reader], time_limit=time_limit)
    dataset = UniformClips(video, spec, num_clips=num_clips, short_side=spec.own_short_side)
    try:
        return torch.as_tensor(dataset[0]["clips"]), found.frames
    except LostVideoError as lost:
        raise VideoError(path, lost.reason) from None


def load_dataset(
    name: str, root: Path | str, *, subset: Subset, split: int = 1, list_dir: Path | str | None = None
) -> VideoList:
    """Loads the videos of a dataset's training or test list.

    Videos that cannot be read are left out and named in the log. What was found is remembered under KDVIDEO_HOME, so
    that the next call does not look at the files again.

    >>> import kdvideo
    >>> videos = kdvideo.load_dataset("ucf101", "output/demo/data", subset="train")
    >>> videos.records[0].class_name
    'BallBounce'

    Args:
        name: a name of DATASETS, e.g. "ucf101".
        root: the dataset's folder.
        subset: "train" or "test".
        split: the number of the official split, where the dataset has several.
        list_dir: the folder of the lists. Defaults to the dataset's usual place for them.

    Raises:
        ValueError: an unknown name, a folder or list that is missing, or more than 1 % of videos that cannot be read.
    """
    root = Path(root)
    records = DATASETS.get(name)(root, Path(list_dir) if list_dir else None, split=split, subset=subset)
    return usable_videos(records, root, max_bad_fraction=_MAX_BAD_FRACTION, num_workers=available_cores())
