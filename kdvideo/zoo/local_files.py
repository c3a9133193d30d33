"""Files of weights on this machine: whether one is there, and which one of a folder is meant."""

from pathlib import Path

from kdvideo.zoo.entry import WEIGHTS_SUFFIXES
from kdvideo.zoo.names_of_sources import BEST_NAME, CHECKPOINT_NAME, CONFIG

__all__ = ["check_suffix", "file_of_folder", "require_file"]


def file_of_folder(folder: Path, source: str) -> Path | None:
    """Returns the weights of a run's best epoch, or of its last. None for a folder of the transformers library.

    Raises:
        ValueError: it is neither.
    """
    if (folder / CONFIG).is_file():
        return None
    for name in (BEST_NAME, CHECKPOINT_NAME):
        if (folder / name).is_file():
            return folder / name
    raise ValueError(
        f"weights {source}: {folder} has no {BEST_NAME} or {CHECKPOINT_NAME} of a run, and no {CONFIG} of a model of "
        "transformers: give a file of it"
    )


def check_suffix(name: str, source: str) -> None:
    """Raises ValueError if the name of a file is none of weights."""
    if not name.endswith(WEIGHTS_SUFFIXES):
        raise ValueError(f"weights {source}: a file must end in {' or '.join(WEIGHTS_SUFFIXES)}")


def require_file(path: Path, source: str) -> None:
    """Raises ValueError if a file of weights is not there."""
    if not path.is_file():
        raise ValueError(f"weights {source}: {path} does not exist")
