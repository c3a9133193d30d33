"""Videos with what real files have wrong or unusual: packets that nobody can decode, several tracks, mirrored pictures.

Each frame has one corner that is white and a grey value that tells its number, so that a test sees which frame it got
and which way up it is.
"""

import struct
from collections.abc import Collection, Sequence
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

__all__ = [
    "WIDTH",
    "corner",
    "number",
    "set_display_matrix",
    "stored_picture",
    "write_tracks",
    "write_video",
    "zero_packets",
]

WIDTH, HEIGHT = 64, 48
_DARKEST, _STEP, _NUMBERS = 20, 5, 40  # grey values from one frame to the next: more than an encoder changes


def stored_picture(i: int, *, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Returns the picture that frame i is encoded from, uint8 `[height, width, 3]`, white in its top left corner."""
    picture = np.full((height, width, 3), _DARKEST + _STEP * (i % _NUMBERS), dtype=np.uint8)
    picture[: height // 4, : width // 4] = 255
    return picture


def number(picture: np.ndarray) -> int:
    """Returns which frame a picture `[H, W, C]` shows, counted from 0 again after 40."""
    return round((float(np.median(picture)) - _DARKEST + 1) / _STEP)  # encoders darken by 0 to 3


def corner(picture: np.ndarray) -> tuple[str, str]:
    """Returns where the white corner is, e.g. ("top", "left")."""
    bright = picture[..., 1] > 235
    rows, columns = np.nonzero(bright)
    return (
        "top" if rows.mean() < picture.shape[0] / 2 else "bottom",
        "left" if columns.mean() < picture.shape[1] / 2 else "right",
    )


def write_video(
    path: Path, *, num_frames: int = 40, codec: str = "mpeg4", options: dict[str, str] | None = None
) -> Path:
    """Writes one track without B-frames, so that the n-th packet is the n-th frame."""
    return write_tracks(path, [(WIDTH, HEIGHT, num_frames)], codec=codec, options=options)


def write_tracks(
    path: Path,
    tracks: Sequence[tuple[int, int, int]],
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    default: int = 0,
) -> Path:
    """Writes video tracks of (width, height, frames) each; the one of number `default` is marked as the default."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, rate=25, options=options or {}) for _ in tracks]
        for place, (stream, (width, height, _)) in enumerate(zip(streams, tracks, strict=True)):
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.bit_rate = 5_000_000
            stream.codec_context.gop_size = 8
            stream.codec_context.max_b_frames = 0
            stream.disposition = Disposition.default.value if place == default else 0
        for stream, (width, height, num_frames) in zip(streams, tracks, strict=True):
            for i in range(num_frames):
                frame = av.VideoFrame.from_ndarray(stored_picture(i, width=width, height=height), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


def write_covered_sound(path: Path) -> Path:
    """Writes a second of sound with a cover picture, an MP4 file as music shops sell them."""
    with av.open(str(path), "w") as container:
        cover, sound = container.add_stream("mjpeg", rate=1), container.add_stream("aac", rate=8000)
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        cover.disposition = Disposition.attached_pic.value
        container.mux(cover.encode(av.VideoFrame.from_ndarray(stored_picture(0), format="rgb24")))
        container.mux(cover.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def zero_packets(path: Path, numbers: Collection[int]) -> Path:
    """Overwrites the video packets of these numbers with zeros, which no decoder takes."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for start, size in (places[i] for i in numbers):
        content[start : start + size] = bytes(size)
    path.write_bytes(content)
    return path


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Writes the display matrix of an MP4 file's first track, as phones do; see `kdvideo.data.readers.orientation`."""
    content = bytearray(path.read_bytes())
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    start = content.index(b"tkhd") + 44
    content[start : start + len(matrix)] = matrix
    path.write_bytes(content)
    return path
