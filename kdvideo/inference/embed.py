"""Embedding: the mean features of videos, in memory and as a table."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdvideo.data.checking.manifest import part_of
from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.foreign import printable
from kdvideo.inference.embed_parts import KnownRows, facts_of_part, join_outputs, read_parts, remove_parts, table_of
from kdvideo.inference.gallery import write_features
from kdvideo.inference.gallery_files import check_format
from kdvideo.inference.predict import Source, compute_features
from kdvideo.inference.videos import NUM_CLIPS, VideoOutput, Videos, list_videos
from kdvideo.progress import progress_bar

__all__ = ["Embedded", "embed_videos"]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class Embedded:
    """The features of V videos.

    Attributes:
        names: the paths of the V videos.
        features: the mean feature of each video's clips, float32 `[V, D]`.
        problems: maps each video without a feature to the reason, in one line.
    """

    names: list[str]
    features: np.ndarray
    problems: dict[str, str]


def embed_videos(
    videos: Videos,
    *,
    model: Source,
    out: str | Path | None = None,
    num_clips: int = NUM_CLIPS,
    num_workers: int = 0,
    time_limit: float = TIME_LIMIT,
    device: str = "",
    part: tuple[int, int] | None = None,
) -> Embedded:
    """Computes the mean feature of each video's clips, and writes them as a table if `out` is given.

    Args:
        videos: a video, a folder of videos, or several of them.
        model: see `kdvideo.inference.predict.Predictor`.
        out: a file that ends in .parquet or .safetensors; see `write_features`. `videos` must then be one folder, and
            the table's names are relative to it.
        num_clips: the number of clips per video.
        num_workers: the number of processes that decode. 0 for this one.
        time_limit: seconds that a video may take.
        device: see `kdvideo.device.choose_device`.
        part: (i, n): only every n-th video from the i-th on, into a file beside `out`. A last call without it joins the
            parts, and computes what they lack.

    Raises:
        ValueError: a path or the model does not exist, a folder holds no video, or `out` has another ending.
    """
    if num_clips < 1:
        raise ValueError(f"`num_clips` is {num_clips}; it must be 1 or more")
    if out is not None:
        check_format(Path(out))
    elif part is not None:
        raise ValueError("a part is for a table: give `out`")
    root = None if out is None else _folder_of_table(videos)
    paths = part_of(list_videos(videos), part)
    known = KnownRows({}, {}) if out is None or root is None else read_parts(Path(out), part, root=root)
    todo = [path for path in paths if path not in known.rows]
    outputs, facts = compute_features(
        model, todo, num_clips=num_clips, num_workers=num_workers, time_limit=time_limit, device=device
    )
    if out is not None and facts is None:
        raise ValueError("a table names the weights that made its features: publish the model, and give its name")
    joined = join_outputs(paths, known, outputs)
    collected = _Collected(progress_bar(joined, total=len(paths), unit="video"), tells=out is None)
    if out is not None and root is not None and facts is not None:
        known.check(facts)
        stored = facts if part is None else facts_of_part(facts, root=root)
        write_features(table_of(Path(out), part), collected, root=root, facts=stored)
        if part is None:
            remove_parts(Path(out))
    else:
        deque(collected, maxlen=0)
    return collected.result()


class _Collected:
    """Passes outputs on and keeps the mean of each.

    Args:
        outputs: the features `[S, D]` of each video's S clips.
        tells: whether it warns of each video without a feature. `write_features` does it by itself.
    """

    def __init__(self, outputs: Iterable[VideoOutput], *, tells: bool) -> None:
        self.outputs = outputs
        self.tells = tells
        self.names: list[str] = []
        self.means: list[np.ndarray] = []
        self.problems: dict[str, str] = {}

    def __iter__(self) -> Iterator[VideoOutput]:
        for one in self.outputs:
            if one.output is None:
                self._keep_problem(str(one.path), one.problem or "")
            else:
                self.names.append(str(one.path))
                self.means.append(one.output.mean(dim=0).numpy())
            yield one

    def _keep_problem(self, path: str, problem: str) -> None:
        self.problems[path] = problem
        if self.tells:
            logger.warning("no feature of %s: %s", printable(path), printable(problem))

    def result(self) -> Embedded:
        """Returns what has been kept."""
        features = np.stack(self.means) if self.means else np.empty((0, 0), dtype=np.float32)
        return Embedded(self.names, features, self.problems)


def _folder_of_table(videos: Videos) -> Path:
    """Returns the folder that the names in a table are relative to."""
    if isinstance(videos, str | Path) and Path(videos).is_dir():
        return Path(videos)
    shown = videos if isinstance(videos, str | Path) else "what was given"
    raise ValueError(f"{shown} is not a folder: give the folder of the videos, which the table's names are below")
