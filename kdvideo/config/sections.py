"""Config sections of the user's own parts, declared in a file that `--import` names."""

import re
from typing import Any

from kdvideo.config.key import Key, Role, Section, key
from kdvideo.config.keys import KEYS, SECTIONS

__all__ = ["add_section"]

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_TYPES = (bool, int, float, str, list)


def add_section(section: str, *, title: str = "", **defaults: Any) -> None:
    """Declares config keys of your own: `SECTION.KEY` with a default that also says the type.

    Such a key works as kdvideo's own: from yaml files and the command line, kept in the run's config, its checkpoints
    and its zoo entry. A resumed run refuses another value. An entry or config that has the section is read again after
    the same file was imported.

    Args:
        section: the section, in capitals, e.g. "MYLOSS".
        title: what the section is about.
        defaults: the keys, in capitals, with their defaults: a bool, int, float, str, or a list of one of these, which
            is not empty. A `kdvideo.config.key.Key` also says limits and other roles.

    Raises:
        ValueError: a name or a default is not possible, or the section is taken.

    Example:
        >>> add_section("MYLOSS", ALPHA=1.0)
        >>> from kdvideo.config import load_config
        >>> load_config(None, ["MYLOSS.ALPHA", "0.5"]).MYLOSS.ALPHA
        0.5
    """
    if not defaults:
        raise ValueError(f"add_section({section!r}) has no key: give some with their defaults, e.g. ALPHA=1.0")
    for name in (section, *defaults):
        if not _NAME.fullmatch(name):
            raise ValueError(f"config names are words in capitals, as MY_LOSS, and {name!r} is not: rename it")
    declared = {f"{section}.{name}": _declare(f"{section}.{name}", default) for name, default in defaults.items()}
    before = {name: known for name, known in KEYS.items() if name.startswith(f"{section}.")}
    if section in KEYS or (before and before != declared):
        raise ValueError(f"the config section {section} is taken, with other keys: choose another name")
    KEYS.update(declared)
    SECTIONS[section] = Section(title or section)


def _declare(name: str, default: Any) -> Key:
    declared = default if isinstance(default, Key) else key(default, Role.TRAINING)
    value = declared.default
    first = value[0] if isinstance(value, list) and value else value
    if type(value) not in _TYPES or type(first) not in _TYPES or first == []:
        raise ValueError(
            f"{name} has the default {value!r}; it must be a bool, int, float or str, or a list of at least one of them"
        )
    return declared
