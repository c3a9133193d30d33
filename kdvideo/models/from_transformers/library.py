"""The `transformers` library: whether it is here and new enough, and quiet while it loads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kdvideo.extras import extra_imports

__all__ = ["library_class", "quiet_library", "require_library"]

OLDEST = "5.18"  # 5.16.1 and 5.17.0 load every published VideoMAE with zeros as its q and v biases (issue 48675)


def require_library() -> Any:
    """Imports `transformers`.

    Raises:
        MissingExtraError: it is not installed.
        ValueError: its version is one that loads weights wrongly without an error.
    """
    with extra_imports():
        import transformers
    from packaging.version import Version

    if Version(transformers.__version__) < Version(OLDEST):
        raise ValueError(
            f"transformers {transformers.__version__} is too old: versions before {OLDEST} load VideoMAE's biases as "
            f"zeros; pip install 'transformers>={OLDEST}'"
        )
    return transformers


def library_class(name: str) -> type:
    """Returns a class of the library by its name.

    Raises:
        ValueError: this version of the library does not have it.
    """
    library = require_library()
    try:
        return getattr(library, name)
    except (ImportError, AttributeError):
        raise ValueError(
            f"transformers {library.__version__} has no {name}, which this model needs: install a newer version"
        ) from None


@contextmanager
def quiet_library() -> Iterator[None]:
    """Keeps the library's progress bars and load reports from the terminal. kdvideo has a report of its own."""
    from transformers.utils import logging

    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()
