"""Reading by index with torchcodec, for kinds of files in which it gives the same frames as PyAV.

torchcodec seeks to the last key frame before a frame, whereas PyAV's sequential decoding starts at frame 0. Seeking is
right only if the file says exactly when each frame is shown. Two FFmpeg libraries give the same picture only if the
codec's standard fixes every bit. `docs/results/data_path.md` has the measurements.
"""

import logging
import os
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream
from torch import Tensor

from kdvideo.data.readers.file_errors import VideoError

__all__ = ["get_indices", "gives", "is_right_format", "is_right_kind", "torchcodec_loads"]

logger = logging.getLogger("kdvideo")

# Containers that store when each frame is shown. AVI does not: with B-frames, its frames come back early.
_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
# Codecs whose decoded pictures are bit-exact by their standard. MPEG-4 part 2 (XviD) leaves the inverse DCT's rounding
# open, and FFmpeg 5 and 8 do differ by up to 2 of 255.
_CODECS = {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d"}
# 8 bits, 4:2:0. FFmpeg's versions give different RGB values for deeper and odd-sized pictures.
_PIXEL_FORMATS = {"yuv420p", "yuvj420p"}


@cache
def torchcodec_loads() -> bool:
    """Returns whether torchcodec and its FFmpeg libraries load. Logs once why they do not."""
    try:
        import torchcodec.decoders  # noqa: F401
    except Exception as error:  # it raises ImportError, RuntimeError or OSError, depending on what does not fit
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        logger.info("torchcodec does not load (%s): all videos are read with PyAV", reason)
        return False
    return True


def is_right_kind(container: InputContainer, stream: VideoStream) -> bool:
    """Returns whether tracks, container, codec and size allow seeking. The pixel format is checked separately."""
    codec = stream.codec_context
    return (
        len(container.streams.video) == 1  # of several tracks, each library chooses its own
        and container.format.name in _CONTAINERS
        and codec.name in _CODECS
        and codec.width % 2 == 0
        and codec.height % 2 == 0
    )


def is_right_format(frame: VideoFrame) -> bool:
    """Returns whether the frame's pixel format allows seeking.

    Its pixels must become the same RGB values in every version of FFmpeg. The frame is asked, because PyAV 17 crashes
    if a stream states no format.
    """
    return frame.format.name in _PIXEL_FORMATS


def gives(path: Path, *, num_frames: int, pictures: dict[int, Tensor]) -> bool:
    """Returns whether torchcodec reads a file right.

    It must count `num_frames`, and give exactly these pictures `[C, H, W]`, each after a seek.
    """
    try:
        decoder = _open(path)
        if decoder.metadata.num_frames != num_frames:
            return False
        # From the last one backwards, one per call, so that none is reached by decoding on from the one before.
        return all(torch.equal(decoder.get_frame_at(i).data, pictures[i]) for i in sorted(pictures, reverse=True))
    except (RuntimeError, IndexError):
        return False


def get_indices(path: Path, indices: Collection[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Reads the given frames in rising order.

    Yields:
        An index and its picture, uint8 `[H, W, C]`, upright.

    Raises:
        VideoError: torchcodec cannot read them.
    """
    in_order = sorted(indices)
    try:
        pictures = _open(path).get_frames_at(in_order).data
    except (RuntimeError, IndexError) as error:
        raise VideoError(path, f"cannot be read by torchcodec: {str(error).splitlines()[0]}") from None
    yield from zip(in_order, pictures.permute(0, 2, 3, 1).numpy(), strict=True)


def _open(path: Path) -> Any:
    from torchcodec.decoders import VideoDecoder  # imported here, since its libraries take a second to load

    # An absolute path: in a relative one FFmpeg takes what stands before a colon for a protocol.
    return VideoDecoder(os.path.abspath(path), num_ffmpeg_threads=1, seek_mode="exact")
