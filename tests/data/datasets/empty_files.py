"""Folders whose files are empty: what a dataset lists is told by names alone."""

from pathlib import Path

__all__ = ["touch"]


def touch(root: Path, *names: str) -> Path:
    """Makes empty files of these names below a folder, and returns the folder."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root
