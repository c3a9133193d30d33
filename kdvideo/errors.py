"""Error messages: those of other libraries in one line, and parameters under the names that the caller uses."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["check_call", "first_line", "naming"]


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message. If there is no message, it is the error's type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def check_call(what: str, function: Callable[..., object], *arguments: Any, **keywords: Any) -> None:
    """Checks that a user's function takes the arguments that kdvideo will give it. It is not called.

    Args:
        what: the function's name for the message.
        function: the function or class.
        arguments: what it will get by position. A text stands for an argument of this name.
        keywords: what it will get by name.

    Raises:
        ValueError: it takes other arguments.
    """
    try:
        inspect.signature(function).bind(*arguments, **keywords)
    except TypeError as error:
        names = [each if isinstance(each, str) else "cfg" for each in arguments] + [f"{each}=.." for each in keywords]
        raise ValueError(f"{what} is called with ({', '.join(names)}), which it does not take: {error}") from None
    except ValueError:
        return  # some functions in C tell no signature


@contextmanager
def naming(**names: str) -> Iterator[None]:
    """Replaces parameters in errors by the caller's names for them.

    A message names a parameter in backquotes: "`clip_len` is 6; use a multiple of 4". Within
    `naming(clip_len="CLIP.LENGTH")` it becomes "CLIP.LENGTH is 6; use a multiple of 4".

    Args:
        names: the caller's name of each parameter. Other parameters keep their names.
    """
    try:
        yield
    except (ValueError, FloatingPointError) as error:
        error.args = tuple(_rename(each, names) if isinstance(each, str) else each for each in error.args)
        raise


def _rename(message: str, names: dict[str, str]) -> str:
    return re.sub(r"`(\w+)`", lambda found: names.get(found[1], found[0]), message)
