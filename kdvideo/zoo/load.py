"""Building models by name, and filling them with published weights."""

import fnmatch
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from torch import nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import ClassificationModel, PCLModel, build_backbone, build_pcl_model
from kdvideo.models.spec import Model, ModelSpec, backbone_of
from kdvideo.models.uninitialised import Uninitialised
from kdvideo.registry import BACKBONES, unknown_name
from kdvideo.zoo.contents import Contents, read_contents
from kdvideo.zoo.fill import LoadReport, complete_names, fill
from kdvideo.zoo.folder import ZooLike, accept_zoo_dir
from kdvideo.zoo.names_of_sources import EntryName, parse_source
from kdvideo.zoo.sources import FoundEntry, Weights, bring_weights, find_entry, resolve_weights, zoos

__all__ = [
    "LoadReport",
    "build_filled",
    "create_model",
    "create_pcl_model",
    "list_models",
    "load_model",
    "load_pcl_model",
    "load_pretrained",
]

logger = logging.getLogger("kdvideo")


def list_models(pattern: str = "*", *, zoo: ZooLike | None = None) -> list[str]:
    """Lists the names that `create_model` takes. They are registered backbones and entries of the zoos.

    Args:
        pattern: which names, shell-style, e.g. "r3d_10*" or "*ucf101*".
        zoo: a zoo besides the user's and the packaged one.
    """
    entries = [entry.name for each in zoos(zoo) for entry in each.entries()]
    return sorted(set(fnmatch.filter([*BACKBONES.names(), *entries], pattern)))


def create_model(
    name: str,
    num_classes: int | None = None,
    pretrained: bool = False,
    *,
    zoo: ZooLike | None = None,
    **kwargs: Any,
) -> Backbone | ClassificationModel:
    """Builds a model from its name. It is a backbone, `[B, C, T, H, W]` -> `[B, D]`, or has a new classifier.

    Args:
        name: a backbone ("r3d_10"), a zoo entry ("r3d_10_w16.pcl-vcp_ucf101mini-s1"), or with `pretrained` a
            repository ("hf:OWNER/REPO") or a folder of the transformers library.
        num_classes: the outputs of a new classification head, `[B, C, T, H, W]` -> `[B, num_classes]`. Defaults to
            no head.
        pretrained: whether to load the entry's weights, which are checked first.
        zoo: a zoo to look into before the user's and the packaged one.
        kwargs: arguments of the backbone's builder: `clip_spec`, and `width` if it has one. An entry has its own.

    Raises:
        ValueError: an unknown name, `pretrained` with a bare architecture, kwargs with an entry.

    Example:
        >>> import kdvideo, torch
        >>> model = create_model("r3d_10_w16.pcl-vcp_ucf101mini-s1", pretrained=True).eval()
        >>> clips = torch.randint(0, 256, (2, 3, 16, 64, 64), dtype=torch.uint8)
        >>> model(kdvideo.prepare_clips(clips, model.clip_spec)).shape
        torch.Size([2, 128])
        >>> classifier = create_model("c3d", num_classes=101, width=8, clip_spec=ClipSpec(size=64))
        >>> classifier(torch.randn(2, 3, 16, 64, 64)).shape
        torch.Size([2, 101])
    """
    if not isinstance(parse_source(name), EntryName):
        return _create_foreign(name, num_classes, pretrained=pretrained, kwargs=kwargs)
    found = _find_or_none(name, zoo, pretrained=pretrained, kwargs=kwargs)
    backbone = build_backbone(name, **kwargs) if found is None else _build_backbone(found, pretrained=pretrained)
    model = backbone if num_classes is None else ClassificationModel(backbone, num_classes=num_classes)
    if found is not None and pretrained:
        _load(model, bring_weights(found, source=name))
    return model


def _create_foreign(
    source: str, num_classes: int | None, *, pretrained: bool, kwargs: Mapping[str, Any]
) -> Backbone | ClassificationModel:
    """Builds the backbone of a repository, folder or file, with its weights, and a new classifier on it."""
    if not pretrained:
        raise ValueError(f"{source!r} names weights: give `pretrained` True")
    if kwargs:
        raise ValueError(f"{source!r} has its own settings: {', '.join(kwargs)} cannot be given")
    backbone = backbone_of(load_model(source)[0])
    return backbone if num_classes is None else ClassificationModel(backbone, num_classes=num_classes)


def create_pcl_model(
    name: str,
    pretrained: bool = False,
    *,
    num_pretext_classes: int | None = None,
    tuple_len: int | None = None,
    projection_dim: int | None = None,
    pretext_head: str | None = None,
    zoo: ZooLike | None = None,
    **kwargs: Any,
) -> PCLModel:
    """Builds a backbone with PCL's heads.

    It maps `[B, N, C, T, H, W]` to `feature[B, N, D]`, `pretext_logits[B, P]` and `z[B, 2, E]`.

    Args:
        name: a backbone or a zoo entry, which has its own heads.
        pretrained: whether to load the entry's weights, which are checked first.
        num_pretext_classes: P. Defaults to 5.
        tuple_len: N. Defaults to 3.
        projection_dim: E. Defaults to 128.
        pretext_head: a name of HEADS. Defaults to "pretext_head"; `vcop` has the "order_head".
        zoo: a zoo to look into before the user's and the packaged one.
        kwargs: arguments of the backbone's builder: `clip_spec`, and `width` if it has one.

    Raises:
        ValueError: as `create_model`.

    Example:
        >>> import torch
        >>> model = create_pcl_model("r2plus1d_10", width=8, clip_spec=ClipSpec(clip_len=8, size=32))
        >>> outputs = model(torch.randn(2, 3, 3, 8, 32, 32))
        >>> {name: list(output.shape) for name, output in outputs.items()}
        {'feature': [2, 3, 64], 'pretext_logits': [2, 5], 'z': [2, 2, 128]}
    """
    given: dict[str, Any] = {
        "num_pretext_classes": num_pretext_classes,
        "tuple_len": tuple_len,
        "projection_dim": projection_dim,
        "pretext_head": pretext_head,
    }
    head_kwargs = {key: value for key, value in given.items() if value is not None}
    found = _find_or_none(name, zoo, pretrained=pretrained, kwargs={**kwargs, **head_kwargs})
    if found is None:
        return build_pcl_model(build_backbone(name, **kwargs), **head_kwargs)
    model = found.entry.model.build()
    if not isinstance(model, PCLModel):
        raise ValueError(f"{name!r} has no pretext head: use create_model, which gives its backbone")
    if pretrained:
        _load(model, bring_weights(found, source=name))
    return model


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
    return _load(model, resolve_weights(source, zoo=zoo), clip_spec)


def _load(model: nn.Module, weights: Weights, clip_spec: ClipSpec | None = None) -> LoadReport:
    contents = read_contents(weights)
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
    contents = read_contents(weights)
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


def _find_or_none(name: str, zoo: ZooLike | None, *, pretrained: bool, kwargs: Mapping[str, Any]) -> FoundEntry | None:
    """Finds the entry with that name. Returns None for an architecture."""
    if name in BACKBONES:
        if pretrained:
            entries = [other for other in list_models(f"{name}*", zoo=zoo) if other not in BACKBONES]
            raise ValueError(
                f"{name!r} is an architecture, pretrained weights have names of their own: "
                f"choose one of {', '.join(entries) or '(none in the zoo)'}"
            )
        return None
    BACKBONES.check_not_refused(name)
    try:
        found = find_entry(name, zoo=zoo)
    except ValueError:
        otherwise = "`kdvideo zoo list` names all; import the module that registers one of your own"
        raise unknown_name("model", name, list_models(zoo=zoo), otherwise=otherwise) from None
    if kwargs:
        raise ValueError(f"{name!r} is a zoo entry with its own settings: {', '.join(kwargs)} cannot be given")
    return found


def _build_backbone(found: FoundEntry, *, pretrained: bool) -> Backbone:
    """Builds the entry's backbone. If a complete file will fill it next, no random weights are drawn."""
    with Uninitialised() if pretrained else nullcontext():
        return found.entry.model.build_backbone()
