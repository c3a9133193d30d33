"""kdvideo: self-supervised video backbones, knowledge distillation between them, and a verified model zoo."""

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.version import __version__
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
