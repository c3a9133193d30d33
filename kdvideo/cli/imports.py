"""`--import FILE.py`: registers the user's own parts before a command looks for names.

Only the command line imports files. Configs, entries and checkpoints cannot, because they come from other people.
"""

import argparse
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from kdvideo.paths import expand_user

__all__ = ["add_import_argument", "import_modules"]


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--import` to commands that use registries. It may be given several times."""
    parser.add_argument(
        "--import",
        dest="imports",
        type=_absolute,
        action="append",
        default=[],
        metavar="FILE.py",
        help="a file or module of yours that registers backbones, pretexts, losses ...; may be given several times",
    )


def import_modules(names: Sequence[str]) -> None:
    """Imports the user's modules in the same way as `import` would from their folder.

    Args:
        names: absolute paths that end in `.py`, or names of modules in the working folder or of installed ones.

    Raises:
        ValueError: the module does not exist, another module has its name, or it fails. Names the failing line.
    """
    for name in names:
        _import_module(name)


def _absolute(text: str) -> str:
    """Makes a path absolute, because a job or a rank may start in another folder."""
    try:
        return str(expand_user(text).resolve()) if text.endswith(".py") else text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _import_module(name: str) -> None:
    origin = _find(name)
    try:
        importlib.import_module(Path(name).stem if name.endswith(".py") else name)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin]
        where = f"line {lines[-1]}: " if lines else ""  # a syntax error itself names its line
        what = " ".join(f"{type(error).__name__}: {error}".split())
        hint = '; put what runs under `if __name__ == "__main__":`' if isinstance(error, SystemExit) else ""
        raise ValueError(f"--import {name}: {where}{what}{hint}") from None


def _find(name: str) -> str | None:
    """Returns a module's file and adds its folder to Python's path."""
    path = Path(name) if name.endswith(".py") else None
    if path and not path.is_file():
        raise ValueError(f"--import {name}: there is no such file")
    # At the end, so that nothing in the folder replaces an installed module. Spawned workers inherit the list.
    folder = str(path.parent) if path else os.getcwd()
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(path.stem if path else name)
    except (ImportError, ValueError) as error:  # an error of the package around it
        raise ValueError(f"--import {name}: {error}") from None
    if path and (spec is None or Path(spec.origin or "").resolve() != path):
        other = f"{path.stem} is another module's name ({spec.origin})" if spec else "no name of a module"
        raise ValueError(f"--import {name}: {other}: rename the file")
    if spec is None:
        raise ValueError(f"--import {name}: no such module is installed or in {folder}; a file's name ends in .py")
    return spec.origin
