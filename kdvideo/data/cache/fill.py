"""Fills the frame cache: decodes the videos of a list that are not in it, in processes that may hang or crash."""

import errno
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

from kdvideo.data.cache.frames import CachedFrames, frames_name, holds_frames
from kdvideo.data.checking.isolation import Failure, run_isolated
from kdvideo.data.readers.decode import iter_frames
from kdvideo.data.readers.file_errors import VideoError, describe_error, out_of_time, system_error
from kdvideo.data.videos import VideoList
from kdvideo.files import locked, remove_temporaries, write_atomic, write_text

__all__ = ["cache_frames"]

logger = logging.getLogger("kdvideo")
_LOCK_TIMEOUT = 2 * 86400.0  # seconds; another run may be decoding a big dataset
_GRACE = 10.0  # seconds in which a reader can notice the time limit itself
_PATIENCE = 5  # time limits that a video may take: its frames are converted, resized and written as well
_NAMED = 20  # videos left out that the log names one by one
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


class _Source(NamedTuple):
    """One video to decode.

    Attributes:
        video: the file.
        num_frames: how many frames it gives.
        status: its size and modification time, which must still hold when its frames have been read.
        target: where its frames go.
        failed: a file that says why it has no frames, if it has been tried with this time limit.
    """

    video: Path
    num_frames: int
    status: tuple[int, int]
    target: Path
    failed: Path


def cache_frames(videos: VideoList, folder: Path, *, short_side: int, num_workers: int) -> VideoList:
    """Returns the list with its frames cached. It decodes the videos whose frames are not there.

    Each video has a file of its own, which is written completely or not at all. So a killed call is continued by the
    next one, lists share what they have in common, and a changed video or a damaged file is decoded anew. If several
    processes call this, one decodes and the others wait for it.

    A video that cannot be decoded is left out of the cache, and named. It is tried again only with another time limit.
    A folder that cannot be written gives what it has.

    Args:
        videos: as `usable_videos` returns them, with `sizes`.
        folder: where the files lie, for one or for several datasets.
        short_side: pixels to which a frame's shorter side is resized.
        num_workers: how many processes decode.

    Raises:
        ValueError: the disk has no room for the frames, or the folder cannot be written and has none of them.
        TimeoutError: another run has decoded for two days.
        ChildProcessError: no process can be started.
    """
    sources = [_source(videos, i, folder, short_side=short_side) for i in range(len(videos))]
    size = {source.target: _num_bytes(videos, i, short_side) for i, source in enumerate(sources) if source}
    lacking = [source for source in sources if source and not holds_frames(source.target)]
    try:
        if not all(source.failed.is_file() for source in lacking):
            with locked(folder / ".lock", timeout=_LOCK_TIMEOUT, what=f"another run decodes videos into {folder}"):
                remove_temporaries(folder)
                missing = [one for one in lacking if not (one.failed.is_file() or holds_frames(one.target))]
                if missing:  # another run may have decoded all meanwhile
                    _make_room(folder, sum(size[source.target] for source in missing), num_videos=len(missing))
                    _fill(missing, short_side=short_side, num_workers=num_workers, time_limit=videos.time_limit)
    except OSError as error:
        if error.errno is None:  # the lock's or the processes' own words
            raise
        if error.errno not in _NOT_WRITABLE or len(lacking) == len(sources) - sources.count(None):
            raise ValueError(
                f"`cache` {folder} cannot be written ({error.strerror or error}): make room, choose a folder on "
                "another disk, or turn it off"
            ) from None
        logger.warning("frame cache: %s cannot be written (%s): no video is added", folder, error.strerror or error)
    lacking = [source for source in lacking if not holds_frames(source.target)]
    _name_lacking(lacking, folder)
    without = {source.target for source in lacking}
    there = [source.target if source and source.target not in without else None for source in sources]
    num_bytes = sum(path.stat().st_size for path in there if path)
    count = len(there) - there.count(None)
    logger.info("frame cache: %d of %d videos, %.1f MB in %s", count, len(videos), num_bytes / 1e6, folder)
    return replace(videos, cached=[CachedFrames(path, short_side) if path else None for path in there])


def _source(videos: VideoList, index: int, folder: Path, *, short_side: int) -> _Source | None:
    """Returns what there is to decode of a video; None if the system does not give the file now."""
    record, num_frames = videos.records[index], videos.num_frames[index]
    try:
        size, changed = status = _status(record.path)
    except OSError:
        return None
    name = frames_name(
        record,
        num_frames=num_frames,
        revision=videos.revisions[index] if videos.revisions else 0,
        short_side=short_side,
        file_bytes=size,
        mtime_ns=changed,
    )
    target = folder / name
    failed = target.with_suffix(f".{videos.time_limit:g}s.failed")  # a raised limit tries again
    return _Source(record.path, num_frames, status, target, failed)


def _status(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _num_bytes(videos: VideoList, index: int, short_side: int) -> int:
    frame = videos.sizes[index]
    height, width = (short_side * side // min(frame) for side in frame)
    return videos.num_frames[index] * 3 * height * width


def _make_room(folder: Path, num_bytes: int, *, num_videos: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise ValueError(
            f"`cache` {folder} has {free / 1e6:.1f} MB of free disk, and the decoded frames of {num_videos} videos "
            f"take {num_bytes / 1e6:.1f} MB: choose a folder on another disk, or turn it off"
        )
    logger.info("frame cache: decoding %d videos to %.1f MB in %s", num_videos, num_bytes / 1e6, folder)


def _fill(sources: list[_Source], *, short_side: int, num_workers: int, time_limit: float) -> None:
    """Decodes videos in worker processes, and says how far it is. A video that fails gets a file that says why."""
    limit = _PATIENCE * time_limit
    write = partial(_write_one, short_side=short_side, time_limit=limit)
    results = run_isolated(write, sources, num_workers=num_workers, time_limit=limit + _GRACE)
    started, told = time.monotonic(), 0
    progress = tqdm(results, total=len(sources), desc="decoding videos", unit="video", disable=None)
    for done, (source, result) in enumerate(progress, 1):
        if isinstance(result, Failure):
            result = out_of_time(limit) if result.timed_out else result.reason
        if result and system_error(source.video) is None:  # a file that the system does not give may be back soon
            write_text(source.failed, f"{result}\n")
        if (tenth := 10 * done // len(sources)) > told:
            told = tenth
            seconds = time.monotonic() - started
            logger.info("frame cache: %d of %d videos decoded, %.0f s", done, len(sources), seconds)


def _name_lacking(lacking: list[_Source], folder: Path) -> None:
    """Names videos without frames, with what is known of the reason."""
    if not lacking:
        return
    logger.warning("%d videos are not cached, but read from their files:", len(lacking))
    for source in lacking[:_NAMED]:
        logger.warning("  %s %s", source.video, _why(source))
    if any(source.failed.is_file() for source in lacking):
        logger.warning("  they are not tried again, unless you delete %s", folder / "*.failed")


def _why(source: _Source) -> str:
    try:
        return source.failed.read_text(encoding="utf-8").strip()
    except OSError:
        error = system_error(source.video)
        return describe_error(error, source.video) if error else "has not been decoded"


def _write_one(source: _Source, *, short_side: int, time_limit: float) -> str | None:
    """Writes the frames of one video.

    Returns:
        Why there are none, or None.

    Raises:
        OSError: the cache's folder or disk takes no file.
    """
    frames = _resized(source, short_side=short_side, time_limit=time_limit)
    try:
        write_atomic(source.target, partial(_write_frames, frames, source))
    except VideoError as error:
        return error.reason
    except OSError as error:
        if (unread := system_error(source.video)) is None:
            raise
        return describe_error(unread, source.video) if error.errno == unread.errno else str(error)
    return None


def _write_frames(frames: Iterator[Tensor], source: _Source, target: Path) -> None:
    first = next(frames)
    header = {"descr": "|u1", "fortran_order": False, "shape": (source.num_frames, *first.shape)}
    with target.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(first.numpy().tobytes())
        for frame in frames:  # one by one: an hour of video does not fit into memory
            stream.write(frame.numpy().tobytes())


def _resized(source: _Source, *, short_side: int, time_limit: float) -> Iterator[Tensor]:
    """Yields each frame of a video, resized, uint8 `[3, H, W]`.

    Raises:
        VideoError: the video cannot be read, or is another one than when its frames were counted.
    """
    video = source.video
    for _, picture in iter_frames(video, range(source.num_frames), reader="pyav", time_limit=time_limit):
        whole = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
        yield F.resize(whole[None], [short_side], antialias=True)[0].contiguous()
    if _status(video) != source.status:
        raise VideoError(video, "has changed while it was decoded")
