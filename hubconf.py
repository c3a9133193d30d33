"""Entry points of `torch.hub.load("OWNER/kdvideo", "r3d_10")`, or of a checkout with `source="local"`.

Every registered backbone is one, with `kdvideo.create_model`'s arguments; `pretrained` also takes the name of a zoo
entry of that architecture: `load(".", "r3d_10", pretrained="r3d_10_w16.pcl-vcp_ucf101mini-s1", source="local")`.
`create_model` and `create_pcl_model` take any name of the zoo.
"""

# torch.hub lists every callable whose name has no underscore before it, so what is not an entry point gets one.
from collections.abc import Callable as _Callable
from functools import partial as _partial
from typing import Any as _Any

from kdvideo import create_model, create_pcl_model
from kdvideo.registry import BACKBONES as _BACKBONES
from kdvideo.zoo.sources import find_entry as _find_entry

__all__ = ["create_model", "create_pcl_model", "dependencies"]

# What `create_model(.., pretrained=True)` imports; tests/test_hubconf.py compares.
dependencies = [
    *("torch", "torchvision", "pytorchvideo", "fvcore", "iopath"),
    *("filelock", "numpy", "safetensors", "simplejson", "tqdm", "yaml"),
]


def _backbone(architecture: str, *, pretrained: bool | str = False, **kwargs: _Any) -> _Any:
    if not isinstance(pretrained, str):
        return create_model(architecture, pretrained=pretrained, **kwargs)
    entry, _ = _find_entry(pretrained, zoo=kwargs.get("zoo"))
    if entry.model.backbone != architecture:
        raise ValueError(f"pretrained={pretrained!r} are weights of {entry.model.backbone}, not of {architecture}")
    return create_model(pretrained, pretrained=True, **kwargs)


def _entry_point(architecture: str) -> _Callable[..., _Any]:
    function = _partial(_backbone, architecture)
    function.__doc__ = _BACKBONES.get(architecture).__doc__  # for torch.hub.help
    return function


globals().update({name: _entry_point(name) for name in _BACKBONES.names()})
