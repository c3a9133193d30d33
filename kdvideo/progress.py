"""A bar for work that takes a while: in a terminal and in a notebook, and none in a file."""

from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm

__all__ = ["progress_bar"]


def progress_bar(items: Iterable[Any] | None = None, *, total: int, unit: str, **options: Any) -> Any:
    """Returns tqdm's bar for `total` items. It shows nothing where the output is no terminal and no notebook.

    Args:
        items: what the bar iterates over. None if it is moved by hand.
        total: the number of items.
        unit: the word for one item.
        options: other arguments of tqdm.
    """
    return tqdm(items, total=total, unit=unit, disable=None, **options)
