"""Running a model over whole videos; a file that cannot be read has a reason in place of an output."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets.walk import find_readable_videos
from kdvideo.data.load import NUM_CLIPS, read_uniform_clips
from kdvideo.data.loader import create_loader
from kdvideo.data.misfits import tell_short_one
from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.data.readers.file_errors import VideoError
from kdvideo.engine.guards import NETWORK_MEMORY, out_of_memory_means
from kdvideo.evaluation.features import compute_outputs

__all__ = ["NUM_CLIPS", "VideoOutput", "Videos", "compute_video_outputs", "list_videos"]

Videos = str | Path | Iterable[str | Path]  # a video or a folder of videos, or several


@dataclass(frozen=True)
class VideoOutput:
    """A model's output for one file.

    Attributes:
        path: the file.
        num_frames: the number of its frames.
        output: the output for each of S clips, `[S, D]`, on the CPU. None if the file cannot be read.
        problem: why it cannot be read, in one line. None if there is an output.
    """

    path: Path
    num_frames: int
    output: Tensor | None
    problem: str | None = None


def list_videos(videos: Videos) -> list[Path]:
    """Lists given files and all videos below folders. Files keep their order, a folder's are sorted.

    Raises:
        ValueError: a path does not exist, or a folder holds no video.
    """
    found: list[Path] = []
    for path in map(Path, [videos] if isinstance(videos, str | Path) else videos):
        if os.path.isdir(path):
            below = [path / name for name in find_readable_videos(path)]
            if not below:
                raise ValueError(f"folder {path} holds no video")
            found += below
        elif _is_absent(path):
            raise ValueError(f"{path} does not exist: give a video or a folder of videos")
        else:
            found.append(path)
    return found


def _is_absent(path: Path) -> bool:
    """Returns whether nothing has that name. A broken link and a forbidden file do exist, with a problem."""
    try:
        path.lstat()
    except OSError as error:
        return error.errno in (errno.ENOENT, errno.ENOTDIR)
    return False


def compute_video_outputs(
    model: nn.Module,
    paths: Sequence[Path],
    *,
    spec: ClipSpec,
    num_clips: int = NUM_CLIPS,
    num_workers: int = 0,
    time_limit: float = TIME_LIMIT,
) -> Iterator[VideoOutput]:
    """Runs a model over evenly spread clips of each video. They are cropped at the centre.

    Args:
        model: a backbone or a classifier, which maps prepared clips `[B, C, T, H, W]` to `[B, D]`.
        paths: the videos.
        spec: the model's input convention.
        num_clips: the number of clips per video.
        num_workers: the number of processes that decode.
        time_limit: seconds for looking at a video, and again for reading its clips.

    Yields:
        The outputs `[S, D]` of each video's S clips, in the order of the files.
    """
    device = next(model.parameters()).device
    loader = create_loader(_Clips(paths, spec, num_clips, time_limit), batch_size=None, num_workers=num_workers)
    for path, one in zip(paths, loader, strict=True):
        if one["problem"]:
            yield VideoOutput(path, num_frames=0, output=None, problem=one["problem"])
            continue
        tell_short_one(path.name, one["num_frames"], spec)
        with out_of_memory_means(NETWORK_MEMORY):
            output = compute_outputs(model, [one["clips"][None]], output=model, spec=spec, device=device)
        yield VideoOutput(path, num_frames=one["num_frames"], output=output[0])


class _Clips(Dataset):
    """The clips of each file, or the problem with it."""

    def __init__(self, paths: Sequence[Path], spec: ClipSpec, num_clips: int, time_limit: float) -> None:
        self.paths = paths
        self.spec = spec
        self.num_clips = num_clips
        self.time_limit = time_limit

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> dict[str, Any]:
        path = self.paths[i]
        try:
            clips, num_frames = read_uniform_clips(
                path, self.spec, num_clips=self.num_clips, time_limit=self.time_limit
            )
        except VideoError as error:
            return {"problem": error.reason}
        return {"problem": "", "num_frames": num_frames, "clips": clips}
