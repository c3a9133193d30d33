"""Common style of all pictures: colours for colour-blind readers, text without formulas, and atomic files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from kdvideo.files import write_atomic

__all__ = ["COLORS", "GREY", "RIGHT", "WRONG", "check_out", "printable", "save_figure", "short_name", "style"]

# Okabe and Ito's palette (Color Universal Design, 2008): the strongest contrast to white first, yellow last.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
GREY = "#8C8C8C"
RIGHT, WRONG = "#00855F", "#C62828"  # green and red of different lightness; a second sign always repeats their meaning

# Files do not store the day or the program that made them, so that the same picture gives the same file.
_FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"metadata": {"Software": None}},
    ".jpg": {"pil_kwargs": {"quality": 85}},
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
}


@contextmanager
def style() -> Iterator[None]:
    """Gives all figures the same style, independently of matplotlibrc.

    Other people choose the names of videos, classes and runs. A dollar sign in a name does not start a formula.
    """
    settings = {
        "text.parse_math": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "figure.titlesize": "medium",
        "legend.frameon": False,
        "svg.hashsalt": "kdvideo",
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield


def check_out(out: Path) -> None:
    """Refuses a file path that no picture can be written to.

    Raises:
        ValueError: it does not end in .png, .jpg, .svg or .pdf, or it is a folder.
    """
    if out.suffix.lower() not in _FORMATS or out.is_dir():
        raise ValueError(f"--out {out} must be a file that ends in one of {', '.join(_FORMATS)}")


def save_figure(figure: Figure, out: Path) -> None:
    """Writes the figure atomically, in the format of the file's ending.

    Raises:
        ValueError: see `check_out`.
    """
    check_out(out)
    suffix = out.suffix.lower()
    options = {"format": suffix.removeprefix("."), "dpi": 150, **_FORMATS[suffix]}
    with style():
        write_atomic(out, lambda temporary: figure.savefig(temporary, **options))


def printable(text: str) -> str:
    """Replaces characters that no font can draw. File names may hold bytes that are not UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def short_name(source: str) -> str:
    """Shortens a path or URL to its file name. A zoo name stays as it is."""
    return source.rpartition("/")[2].removesuffix(".safetensors").removesuffix(".pt")
