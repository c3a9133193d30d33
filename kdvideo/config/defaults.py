"""The config of the defaults, built from the declared keys."""

from copy import deepcopy

from fvcore.common.config import CfgNode

from kdvideo.config.keys import KEYS

__all__ = ["get_defaults"]


def get_defaults() -> CfgNode:
    """Returns a fresh copy of the defaults."""
    cfg = CfgNode()
    for name, key in KEYS.items():
        section, _, leaf = name.rpartition(".")
        node = cfg.setdefault(section, CfgNode()) if section else cfg
        node[leaf] = deepcopy(key.default)
    return cfg
