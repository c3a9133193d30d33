"""Reading frames of a video with PyAV: frame i is the i-th one that a sequential decode delivers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from torch import Tensor

__all__ = ["count_frames", "read_frames"]


def count_frames(path: Path) -> int:
    """How many frames a sequential decode delivers; headers and packet counts are often wrong by a few.

    Raises:
        ValueError: the file cannot be opened, has no video stream or gives no frame; says which.
    """
    count = sum(1 for _ in _decode(path))
    if count == 0:
        raise ValueError(f"video {path} gives no frame")
    return count


def read_frames(path: Path, indices: Sequence[int]) -> Tensor:
    """The asked-for frames, in the asked-for order; an index may repeat.

    Decodes from the start up to the largest index: after a seek, files with B-frames give other frames than asked for.

    Returns:
        uint8 `[len(indices), C, H, W]`, RGB, turned upright where the file says so.

    Raises:
        ValueError: the file cannot be opened or ends before the largest index.
    """
    wanted, last = set(indices), max(indices)
    images: dict[int, Tensor] = {}
    reformatter = VideoReformatter()  # one for the file: frame.to_ndarray would set up a conversion for each frame
    for i, frame in enumerate(_decode(path)):
        if i in wanted:
            images[i] = torch.from_numpy(_upright_rgb(frame, reformatter))
        if i == last:
            break
    else:
        raise ValueError(f"video {path} ends before frame {last}; it gives {len(images)} of {len(wanted)} asked for")
    return torch.stack([images[i] for i in indices]).permute(0, 3, 1, 2)


def _upright_rgb(frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    image = reformatter.reformat(frame, format="rgb24").to_ndarray()
    # The file gives the counter-clockwise turn that shows it upright, in degrees.
    return np.ascontiguousarray(np.rot90(image, k=frame.rotation // 90)) if frame.rotation else image


def _decode(path: Path) -> Iterator[av.VideoFrame]:
    try:
        container = av.open(str(path), metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"video {path} cannot be opened: {error}") from None
    with container:
        if not container.streams.video:
            raise ValueError(f"video {path} has no video stream")
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # the loader's workers are the parallelism
        try:
            yield from container.decode(stream)
        except av.FFmpegError:
            return  # damaged from here on: what came before counts
