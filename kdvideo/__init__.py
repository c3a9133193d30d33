"""kdvideo: self-supervised video backbones, knowledge distillation between them, and a verified model zoo."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kdvideo.former_names import follow_former_names
from kdvideo.version import __version__

if TYPE_CHECKING:
    from kdvideo.calls import embed, export, predict
    from kdvideo.data.clip_spec import ClipSpec, prepare_clips
    from kdvideo.data.load import load_clips, load_dataset
    from kdvideo.engine.after_training import evaluate, publish
    from kdvideo.engine.launch import RunResult
    from kdvideo.engine.one_call import distill, finetune, pretrain
    from kdvideo.inference.predict import Predictor
    from kdvideo.zoo.create import create_model, create_pcl_model, is_model, list_models
    from kdvideo.zoo.load import LoadReport, load_pretrained

__all__ = [
    "ClipSpec",
    "LoadReport",
    "Predictor",
    "RunResult",
    "__version__",
    "create_model",
    "create_pcl_model",
    "distill",
    "embed",
    "evaluate",
    "export",
    "finetune",
    "is_model",
    "list_models",
    "load_clips",
    "load_dataset",
    "load_pretrained",
    "predict",
    "prepare_clips",
    "pretrain",
    "publish",
]

_HOME = {
    **dict.fromkeys(("embed", "export", "predict"), "kdvideo.calls"),
    **dict.fromkeys(("evaluate", "publish"), "kdvideo.engine.after_training"),
    "Predictor": "kdvideo.inference.predict",
    "ClipSpec": "kdvideo.data.clip_spec",
    "prepare_clips": "kdvideo.data.clip_spec",
    **dict.fromkeys(("load_clips", "load_dataset"), "kdvideo.data.load"),
    "RunResult": "kdvideo.engine.launch",
    **dict.fromkeys(("distill", "finetune", "pretrain"), "kdvideo.engine.one_call"),
    **dict.fromkeys(("LoadReport", "load_pretrained"), "kdvideo.zoo.load"),
    **dict.fromkeys(("create_model", "create_pcl_model", "is_model", "list_models"), "kdvideo.zoo.create"),
}

follow_former_names()


def __getattr__(name: str) -> Any:
    """Imports a public name's module when it is first used, because the command line sets up OpenMP before torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'kdvideo' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """Returns the public names, for completion, though their modules are imported later."""
    return sorted({*globals(), *__all__})
