"""Filling models with published weights, and rebuilding published models."""

import logging
from dataclasses import replace

from torch import nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import Model, ModelSpec
from kdvideo.zoo.contents import Contents, read_contents
from kdvideo.zoo.fill import LoadReport, complete_names, fill
from kdvideo.zoo.folder import ZooLike, accept_zoo_dir
from kdvideo.zoo.sources import Weights, resolve_weights

__all__ = [
    "LoadReport",
    "build_filled",
    "fill_from",
    "load_model",
    "load_pcl_model",
    "load_pretrained",
]

logger = logging.getLogger("kdvideo")


@accept_zoo_dir
def load_pretrained(
    model: nn.Module, source: str, *, zoo: ZooLike | None = None, clip_spec: ClipSpec | None = None
) -> LoadReport:
    """Fills a model with published weights.

    The log has the report, with a warning if parts stay new. The backbone's `clip_spec` takes modality, mean and std
    of the weights' training; clip length, stride and size stay. The log says what has changed.

    A classifier's outputs keep their names: if the file has the same classes in another order, its rows are sorted; if
    it has others, its head is left out.

    Args:
        model: a backbone, or a model with an attribute `backbone`. Heads that the file lacks stay as they are.
        source: a zoo name, a path or a URL.
        zoo: a zoo to look into first.
        clip_spec: the input convention of a bare file, whose keys cannot tell it. It replaces that of other files,
            with a warning.

    Raises:
        ValueError: the file is damaged or needs a `clip_spec`, or a backbone tensor is missing or of another shape.
            The model is unchanged then.
    """
    return fill_from(model, read_contents(resolve_weights(source, zoo=zoo), clip_spec), clip_spec)


def fill_from(model: nn.Module, contents: Contents, clip_spec: ClipSpec | None = None) -> LoadReport:
    """Fills a model with a file's contents, as `load_pretrained` does."""
    convention = _choose_convention(contents, clip_spec)
    report = fill(model, contents)
    logger.log(logging.WARNING if report.new else logging.INFO, "%s", report)
    _take_convention(model, convention, contents.source)
    return report


def _choose_convention(contents: Contents, clip_spec: ClipSpec | None) -> ClipSpec | None:
    """Returns the input convention of the weights. None if a bare state dict does not tell it."""
    own = contents.spec.clip_spec if contents.spec else None
    if clip_spec is None and own is None and contents.layout is not None:
        raise contents.lacks_convention()
    if clip_spec is None or own is None:
        return clip_spec or own
    if clip_spec.convention != own.convention:
        logger.warning(
            "weights %s were trained on %s; as clip_spec says, they are used with %s",
            *(contents.source, own.describe_convention(), clip_spec.describe_convention()),
        )
    return clip_spec


def _take_convention(model: nn.Module, convention: ClipSpec | None, source: str) -> None:
    backbone = getattr(model, "backbone", model)
    had = getattr(backbone, "clip_spec", None)
    if not isinstance(had, ClipSpec):
        return  # a user's own module, which does not describe its input
    if convention is None:
        logger.warning(
            "weights %s do not say what they were trained on: the model keeps %s; give clip_spec if that is not it",
            *(source, had.describe_convention()),
        )
    elif had.convention != convention.convention:
        logger.warning(
            "the model's input is now %s, which weights %s were trained on; it was %s",
            *(convention.describe_convention(), source, had.describe_convention()),
        )
        backbone.clip_spec = replace(had, **convention.convention)


@accept_zoo_dir
def load_model(source: str, *, zoo: ZooLike | None = None, clip_spec: ClipSpec | None = None) -> tuple[Model, Weights]:
    """Rebuilds a published model with its heads, e.g. as a teacher.

    Args:
        source: a zoo name, a path or a URL of kdvideo's weights, or of another project's in a known layout.
        zoo: a zoo to look into first.
        clip_spec: the input convention of another project's file, whose keys cannot tell it.

    Returns:
        The model, and the file that it comes from.

    Raises:
        ValueError: the file does not say what to build, lacks a part of it, or needs a `clip_spec`.
    """
    weights = resolve_weights(source, zoo=zoo)
    contents = read_contents(weights, clip_spec)
    return build_filled(contents, contents.spec_with(clip_spec)), weights


def build_filled(contents: Contents, spec: ModelSpec) -> Model:
    """Builds a network with its heads. A file's tensors fill it.

    Raises:
        ValueError: the file lacks a part of the network, or has other parts.
    """
    model = spec.build()
    report = fill(model, contents)
    if report.new:
        raise ValueError(f"weights {contents.source} lack {', '.join(report.new)} of their own {spec.head}")
    if isinstance(model, ClassificationModel):
        model.class_names = complete_names(contents.classes, model)
    logger.info("%s", report)
    return model


@accept_zoo_dir
def load_pcl_model(source: str, *, zoo: ZooLike | None = None) -> tuple[PCLModel, Weights]:
    """Rebuilds a published model that answers a pretext task; see `load_model`.

    Raises:
        ValueError: see `load_model`, or the model has no pretext head.
    """
    model, weights = load_model(source, zoo=zoo)
    if not isinstance(model, PCLModel):
        raise ValueError(f"weights {source} have no pretext head: they cannot answer a pretext task")
    return model, weights
