"""What a config key is declared with: its default, its limits, and its roles.

A role says what depends on a key's value. Whoever has to know all such keys asks `keys_with_role` of
`kdvideo.config.keys`, so that a new key is declared in one place and no list has to be kept beside it.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from functools import partial
from typing import Any

from kdvideo.registry import NamedRegistry

__all__ = ["EachRegistered", "Key", "Limit", "Registered", "Role", "Section"]
__all__ += ["above", "at_least", "below", "between", "every_channel_above", "key", "one_of", "three_numbers"]


class Role(Flag):
    """What depends on the value of a config key.

    Each key has exactly one of the first two; the others come on top.
    """

    TRAINING = auto()  # the run itself: --resume refuses another value
    RESUMABLE = auto()  # nothing of what is trained: --resume takes another value
    # A finished run of a study stays valid where these differ. That is less than RESUMABLE: the report compares what
    # EVAL measured, and another MANIFEST or TIME_LIMIT may leave out other videos. It is also more: a moved study has
    # its teachers elsewhere, while a resumed run of another teacher would be another run.
    PLACE = auto()
    STUDY_DEFAULT = auto()  # has its default in every run of a study, which continues runs and compares them
    MEASURING = auto()  # what a measurement of given weights depends on; the network says what its clips are
    # Of those, what neither a metric's name nor its prefix tells, as "UCF-101-s2/knn_10clip" does the data, the split
    # and the number of clips. SEED matters only with a DATA.FRACTION below 1 and is not compared.
    UNTOLD = auto()
    SAMPLE = auto()  # what a training sample's clips depend on, besides (epoch, index) and the videos
    ANSWER = auto()  # what a frozen teacher's answer depends on, besides its weights and the sample
    SETTING = auto()  # equal for the students that one teacher-student matrix compares


@dataclass(frozen=True)
class Limit:
    """What a value must be, whatever the other keys are.

    Attributes:
        allowed: what is allowed, as an error has it.
        holds: tells whether a value is allowed.
        shown: what is allowed, as the docs have it.
    """

    allowed: str
    holds: Callable[[Any], bool]
    shown: str

    def check(self, name: str, value: Any) -> None:
        """Raises a ValueError that says what is allowed."""
        if not self.holds(value):
            raise ValueError(f"{name} is {value!r}; it must be {self.allowed}")


@dataclass(frozen=True)
class Registered:
    """The limit of a key that names something in a registry."""

    registry: NamedRegistry

    @property
    def shown(self) -> str:
        """What is allowed, as the docs have it."""
        return f"the name of a registered {self.registry._name}"

    def check(self, name: str, value: Any) -> None:
        """Raises a ValueError that suggests registered names."""
        try:
            self.registry.get(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


@dataclass(frozen=True)
class EachRegistered(Registered):
    """The limit of a key that lists names in a registry."""

    @property
    def shown(self) -> str:
        """What is allowed, as the docs have it."""
        return f"names of registered {self.registry._name}s"

    def check(self, name: str, value: Any) -> None:
        """Raises a ValueError that suggests registered names."""
        for one in value:
            super().check(name, one)


@dataclass(frozen=True)
class Key:
    """The declaration of one config key.

    Attributes:
        default: also says what type a value has.
        roles: what depends on it.
        limits: what is allowed for it by itself, checked in this order.
        comment: says what its name does not.
    """

    default: Any
    roles: Role
    limits: tuple[Limit | Registered, ...]
    comment: str


@dataclass(frozen=True)
class Section:
    """What the keys of one section are about.

    Attributes:
        title: a heading of the docs.
        comment: says what the title does not.
    """

    title: str
    comment: str = ""


def key(default: Any, roles: Role, *limits: Limit | Registered, comment: str = "") -> Key:
    """Declares a config key with its roles."""
    return Key(default, roles, limits, comment)


def one_of(*choices: Any) -> Limit:
    """Allows no other values than these."""
    shown = ", ".join(f"`{choice}`" for choice in choices)
    return Limit(f"one of {', '.join(map(str, choices))}", choices.__contains__, shown)


def at_least(least: float) -> Limit:
    """Allows the number `least` and more."""
    return _limit(f"at least {least:g}", partial(operator.le, least))


def above(limit: float) -> Limit:
    """Allows only numbers above `limit`."""
    return _limit(f"above {limit}", partial(operator.lt, limit))


def below(limit: float) -> Limit:
    """Allows only numbers below `limit`."""
    return _limit(f"below {limit}", partial(operator.gt, limit))


def between(low: float, high: float) -> Limit:
    """Allows numbers from `low` to `high`, both included."""
    return _limit(f"between {low} and {high}", lambda value: low <= value <= high)


def three_numbers() -> Limit:
    """Allows lists of one number per channel."""
    return _limit("a list of three numbers, one a channel", lambda value: len(value) == 3)


def every_channel_above(limit: float) -> Limit:
    """Allows lists of numbers above `limit`."""
    return _limit(f"above {limit} in every channel", lambda value: min(value) > limit)


def _limit(allowed: str, holds: Callable[[Any], bool]) -> Limit:
    return Limit(allowed, holds, shown=allowed)
