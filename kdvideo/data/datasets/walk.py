"""Finds the videos below a folder, and reports files that are skipped and folders that cannot be read."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

__all__ = [
    "Below",
    "find_readable_videos",
    "find_videos",
    "is_video",
    "look_below",
    "refuse_unreadable",
    "top_level",
    "warn_of_skipped",
    "warn_once",
]

logger = logging.getLogger("kdvideo")

# Containers and raw streams that FFmpeg reads as video and in which people keep videos. `.ogg` is mostly sound, but may
# be Theora video. Looking at the file tells; a sound file is then named as one without a picture.
_VIDEO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("3g2", "3gp", "3gp2", "3gpp", "amv", "asf", "avi", "bik", "dav", "divx", "dv", "f4v", "flv", "gif"),
        *("gxf", "insv", "ismv", "lrv", "m1v", "m2p", "m2t", "m2ts", "m2v", "m4v", "mj2", "mjpeg", "mjpg"),
        *("mk3d", "mkv", "mod", "mov", "moflex", "mp2v", "mp4", "mp4v", "mpe", "mpeg", "mpg", "mpv", "mts"),
        *("mxf", "nsv", "nut", "nuv", "ogg", "ogm", "ogv", "ogx", "qt", "rm", "rmvb", "tod", "tp", "trp"),
        *("ts", "vob", "webm", "wmv", "wtv", "xvid", "y4m", "264", "265", "266", "avc", "cavs", "h261"),
        *("h263", "h264", "h265", "h266", "hevc", "ivf", "obu", "vc1", "vvc"),
    )
)
# What lies beside videos: lists, text, pictures, sound. Other files are counted when they are passed over.
_COMPANIONS = frozenset(
    f".{ending}"
    for ending in (
        *("bib", "cfg", "conf", "csv", "doc", "docx", "htm", "html", "ini", "ipynb", "json", "jsonl", "log"),
        *("md", "md5", "nfo", "odt", "pdf", "py", "rst", "rtf", "sh", "sha1", "sha256", "tex", "toml", "tsv"),
        *("txt", "url", "xls", "xlsx", "xml", "yaml", "yml", "ass", "sbv", "srt", "ssa", "sub", "vtt"),
        *("avif", "bmp", "exr", "heic", "heif", "ico", "jp2", "jpeg", "jpg", "pgm", "png", "ppm", "svg"),
        *("thm", "tif", "tiff", "webp", "aac", "ac3", "aif", "aiff", "amr", "ape", "au", "flac", "m4a"),
        *("m4b", "mid", "mka", "mp2", "mp3", "oga", "opus", "wav", "wma"),
    )
)
_COMPANION_NAMES = frozenset(
    ("authors", "changelog", "copying", "license", "makefile", "md5sums", "readme", "thumbs.db")
)
_SYSTEM_FOLDERS = frozenset(("$RECYCLE.BIN", "System Volume Information", "lost+found"))  # a disk's, often unreadable


@dataclass(frozen=True)
class Below:
    """What lies below a folder; hidden files and folders do not count.

    Attributes:
        videos: paths of all files that end like a video, relative to the folder, sorted.
        skipped: paths of files whose ending is none of a video, a list, text, a picture or sound.
        unreadable: one line per folder that could not be listed.
    """

    videos: list[str]
    skipped: list[str]
    unreadable: list[str]


def look_below(folder: Path, *, root: Path | None = None) -> Below:
    """Returns what lies below a folder.

    Links to folders are followed, and each folder is visited once.

    Args:
        folder: where to look.
        root: a folder above it, which links do not lead back into.
    """
    unreadable: list[str] = []
    files = [PurePosixPath(path.relative_to(folder)) for path in _walk(folder, root, unreadable)]
    videos = sorted(str(path) for path in files if is_video(path.name))
    return Below(videos, sorted(str(path) for path in files if _is_unknown(path.name)), unreadable)


def top_level(root: Path) -> tuple[list[str], list[str]]:
    """Returns a folder's visible folders and files, sorted.

    Raises:
        ValueError: the folder cannot be listed.
    """
    unreadable: list[str] = []
    _, folders, files = next(_list_folders(root, unreadable), (str(root), [], []))
    refuse_unreadable(unreadable)
    return folders, sorted(name for name in files if not name.startswith("."))


def find_videos(root: Path) -> list[str]:
    """Returns all files below `root` that end like videos.

    Their paths are relative to `root` and sorted. Hidden files and folders are left out. Other files that may be videos
    are counted in a warning.

    Raises:
        ValueError: a folder cannot be listed.
    """
    below = look_below(root)
    refuse_unreadable(below.unreadable)
    warn_of_skipped(root, below.skipped)
    return below.videos


def find_readable_videos(root: Path) -> list[str]:
    """Returns what `find_videos` does. It only warns of folders that cannot be listed."""
    below = look_below(root)
    for line in below.unreadable:
        logger.warning("%s: its videos are left out", line)
    warn_of_skipped(root, below.skipped)
    return below.videos


def refuse_unreadable(unreadable: Sequence[str]) -> None:
    """Refuses a dataset with unreadable folders. It would silently lack a class.

    Raises:
        ValueError: a folder is unreadable; the text names the first one.
    """
    if unreadable:
        more = f", and {len(unreadable) - 1} more folders" if len(unreadable) > 1 else ""
        raise ValueError(f"{unreadable[0]}{more}: allow it (chmod u+rx, or ask its owner) or move it out of `root`")


def warn_of_skipped(root: Path, skipped: Sequence[str]) -> None:
    """Warns once of skipped files and counts them by ending."""
    if skipped:
        endings = Counter(PurePosixPath(name).suffix.lower() or "no ending" for name in skipped)
        counts = ", ".join(f"{ending} {count}" for ending, count in endings.most_common())
        warn_once(
            f"{root}: {len(skipped)} files do not end like videos and are passed over ({counts}; the first is "
            f"{skipped[0]}): rename those that are videos"
        )


def is_video(name: str) -> bool:
    """Returns whether a name ends like a video's. Hidden files are none."""
    return PurePosixPath(name).suffix.lower() in _VIDEO_SUFFIXES and not name.startswith(".")


def _is_unknown(name: str) -> bool:
    lowered = name.lower()
    known = is_video(name) or PurePosixPath(lowered).suffix in _COMPANIONS or lowered in _COMPANION_NAMES
    return not (known or name.startswith("."))


@cache
def warn_once(message: str) -> None:
    """Logs a warning the first time only. A dataset is read once for each of its lists."""
    logger.warning("%s", message)


def _walk(folder: Path, root: Path | None, unreadable: list[str]) -> Iterator[Path]:
    """Yields all files below `folder`."""
    seen = {_identity(root)} if root is not None else set()
    for place, subfolders, files in _list_folders(folder, unreadable):
        try:
            identity = _identity(Path(place))
        except OSError as error:  # it has disappeared since it was listed
            unreadable.append(_describe(error))
            continue
        if identity in seen:
            subfolders.clear()
            continue
        seen.add(identity)
        yield from (Path(place, name) for name in files)


def _list_folders(folder: Path, unreadable: list[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yields what os.walk does, without hidden folders.

    Adds a line to `unreadable` for each folder that cannot be listed.
    """
    walk = os.walk(folder, onerror=lambda error: unreadable.append(_describe(error)), followlinks=True)
    for place, subfolders, files in walk:
        subfolders[:] = sorted(name for name in subfolders if not (name.startswith(".") or name in _SYSTEM_FOLDERS))
        yield place, subfolders, files


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _describe(error: OSError) -> str:
    return f"folder {error.filename} cannot be read: {error.strerror}"
