"""Configs that were stored: what they say, and whether two of them say the same."""

import hashlib
from collections.abc import Mapping
from typing import Any

from fvcore.common.config import CfgNode

from kdvideo.config.defaults import get_defaults
from kdvideo.config.load import flatten_config
from kdvideo.foreign import parse_yaml

__all__ = [
    "all_settings",
    "comparable_settings",
    "parse_config",
    "plain_config",
    "repeatable_settings",
    "settings_id",
    "stored_config",
]

# A matter of speed and memory only. Their defaults depend on the machine since they have changed, from 2 and 32.
_SPEED_ONLY = frozenset(("DATA.NUM_WORKERS", "EVAL.BATCH_SIZE"))

# Where a run and its model are put. It differs among all runs, and a run's name says it, too.
_OWN_PLACES = frozenset(("OUTPUT_DIR", "ZOO.DIR", "ZOO.PUBLISH_AS", "ZOO.REPLACE"))


def parse_config(text: str) -> dict[str, Any]:
    """Returns the nested sections of a config's text. They are none if the text is no mapping.

    Raises:
        ValueError: it is no yaml.
    """
    values = parse_yaml(text)
    return values if isinstance(values, dict) else {}


def plain_config(cfg: CfgNode) -> dict[str, Any]:
    """Returns a config as nested dicts of plain values. Any file can store them."""
    return parse_config(cfg.dump())


def stored_config(config: str | Mapping[str, Any]) -> dict[str, Any]:
    """Returns a stored config as nested sections. Earlier versions of kdvideo stored its yaml text.

    Raises:
        ValueError: the text is no yaml.
    """
    return parse_config(config) if isinstance(config, str) else dict(config)


def all_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all dotted keys with their values or defaults.

    A key that is newer than the config had its default, or what has the same effect.
    """
    return {**_stored_defaults(), **flatten_config(config)}


def comparable_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `all_settings` by which runs are compared: all but where a run is put, and what only changes speed."""
    return {key: value for key, value in repeatable_settings(config).items() if key not in _SPEED_ONLY}


def repeatable_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `all_settings` but those that say where a run and its model are put. Another run has others."""
    return {key: value for key, value in all_settings(config).items() if key not in _OWN_PLACES}


def _stored_defaults() -> dict[str, Any]:
    """Returns the defaults of stored configs, as dotted keys.

    A run stores what "auto" stands for. A config without the key is older than that, and its run shared.
    """
    return {**flatten_config(get_defaults()), "TEACHER.SAMPLING": "shared"}


def settings_id(config: str | Mapping[str, Any]) -> str:
    """Returns a hash that two configs share if every setting is the same.

    Keys at their default do not count, so a key that a later version adds makes no two runs different. Two keys that
    only change speed and memory never count.

    Args:
        config: nested sections or their yaml text; a text that is no config has an id of its own.
    """
    try:
        values = flatten_config(stored_config(config))
    except ValueError:
        values = {}
    defaults = _stored_defaults()
    counted = {key: value for key, value in values.items() if key not in _SPEED_ONLY}
    changed = {key: value for key, value in counted.items() if key not in defaults or value != defaults[key]}
    return hashlib.sha256(repr(sorted(changed.items()) if values else config).encode()).hexdigest()
