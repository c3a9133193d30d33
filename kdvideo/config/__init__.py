"""Configs: defaults, `_BASE_` files, overrides from the command line, all checked before anything is loaded."""

from kdvideo.config.defaults import get_defaults
from kdvideo.config.load import dump_config, flatten_config, load_config, merge_config
from kdvideo.config.sections import add_section
from kdvideo.config.settings import (
    all_settings,
    comparable_settings,
    parse_config,
    plain_config,
    repeatable_settings,
    settings_id,
    stored_config,
)
from kdvideo.config.validate import require_videos, validate_config, validate_values

__all__ = [
    "add_section",
    "all_settings",
    "comparable_settings",
    "dump_config",
    "flatten_config",
    "get_defaults",
    "load_config",
    "merge_config",
    "parse_config",
    "plain_config",
    "repeatable_settings",
    "require_videos",
    "settings_id",
    "stored_config",
    "validate_config",
    "validate_values",
]
