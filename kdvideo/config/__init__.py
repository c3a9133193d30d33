"""Configs: defaults, `_BASE_` files, overrides from the command line, all checked before anything is loaded."""

from kdvideo.config.defaults import get_defaults
from kdvideo.config.load import dump_config, flatten_config, load_config, merge_config
from kdvideo.config.validate import validate_config

__all__ = ["dump_config", "flatten_config", "get_defaults", "load_config", "merge_config", "validate_config"]
