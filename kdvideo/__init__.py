"""kdvideo: self-supervised video backbones, knowledge distillation between them, and a verified model zoo."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kdvideo.version import __version__

if TYPE_CHECKING:
    from kdvideo.data.clip_spec import ClipSpec, prepare_clips
    from kdvideo.zoo.load import LoadReport, create_model, create_pcl_model, list_models, load_pretrained

__all__ = [
    "ClipSpec",
    "LoadReport",
    "__version__",
    "create_model",
    "create_pcl_model",
    "list_models",
    "load_pretrained",
    "prepare_clips",
]

_HOME = {
    "ClipSpec": "kdvideo.data.clip_spec",
    "prepare_clips": "kdvideo.data.clip_spec",
    **dict.fromkeys(
        ("LoadReport", "create_model", "create_pcl_model", "list_models", "load_pretrained"), "kdvideo.zoo.load"
    ),
}


def __getattr__(name: str) -> Any:
    """Imports a public name's module at its first use: the command line sets up OpenMP before torch is loaded."""
    if name not in _HOME:
        raise AttributeError(f"module 'kdvideo' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
