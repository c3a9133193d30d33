"""Building models by name: architectures, and published models with what their entries say."""

import fnmatch
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import ClassificationModel, PCLModel, build_backbone, build_pcl_model
from kdvideo.models.spec import Model, ModelSpec, backbone_of
from kdvideo.models.uninitialised import Uninitialised
from kdvideo.registry import BACKBONES, unknown_name
from kdvideo.zoo.contents import read_contents
from kdvideo.zoo.fill import complete_names
from kdvideo.zoo.folder import ZooLike
from kdvideo.zoo.load import fill_from, load_model, load_pcl_model
from kdvideo.zoo.names_of_sources import EntryName, parse_source, source_name
from kdvideo.zoo.sources import FoundEntry, bring_weights, find_entry, zoos

__all__ = ["create_model", "create_pcl_model", "is_model", "list_models"]


def list_models(
    pattern: str = "*",
    *,
    pretrained: bool = False,
    exclude: str | Sequence[str] = (),
    zoo: ZooLike | None = None,
) -> list[str]:
    """Lists the names that `create_model` takes. They are registered backbones and entries of the zoos.

    Args:
        pattern: which names, shell-style, e.g. "r3d_10*" or "*ucf101*".
        pretrained: whether to list only names of weights, which are the entries.
        exclude: patterns of names to leave out.
        zoo: a zoo besides the user's and the packaged one.

    Example:
        >>> list_models("r3d_18*", exclude="*hara*")
        ['r3d_18', 'r3d_18.torchvision_k400']
        >>> list_models("r3d_18*", pretrained=True)
        ['r3d_18.torchvision_k400', 'r3d_18_hara.hara_k700']
    """
    names = {entry.name for each in zoos(zoo) for entry in each.entries()}
    if not pretrained:
        names |= set(BACKBONES.names())
    left_out = [exclude] if isinstance(exclude, str) else exclude
    return sorted(
        name
        for name in names
        if fnmatch.fnmatch(name, pattern) and not any(fnmatch.fnmatch(name, other) for other in left_out)
    )


def is_model(name: str, *, zoo: ZooLike | None = None) -> bool:
    """Tells whether `list_models` has this name, of an architecture or of an entry.

    Example:
        >>> is_model("r3d_18"), is_model("r3d_19")
        (True, False)
    """
    return name in BACKBONES.names() or name in list_models(zoo=zoo, pretrained=True)


def create_model(
    name: str | Path,
    num_classes: int | None = None,
    pretrained: bool = False,
    *,
    zoo: ZooLike | None = None,
    **kwargs: Any,
) -> Backbone | ClassificationModel:
    """Builds a model from its name, with the head that its entry says.

    A model of classes maps `[B, C, T, H, W]` -> `[B, num_classes]`, has `classes` and `num_classes`, and its
    `backbone` gives features. Any other model is a backbone, `[B, C, T, H, W]` -> `[B, D]`. So is an entry that was
    trained on a pretext: its heads answer that task alone, and `create_pcl_model` builds them. All have a `clip_spec`.

    Args:
        name: a backbone ("r3d_10"), a zoo entry ("r3d_10_w16.pcl-vcp_ucf101mini-s1"), or with `pretrained` anything
            that names weights: a file, a URL, a run's folder, a repository ("hf:OWNER/REPO") or a folder of the
            transformers library.
        num_classes: the outputs of the classification head. Defaults to the entry's own head, or to none. With 0 it is
            the backbone. With the entry's own number, the head is its own; with another it is new and random.
        pretrained: whether to load the entry's weights, which are checked first.
        zoo: a zoo to look into before the user's and the packaged one.
        kwargs: arguments of the backbone's builder: `clip_spec`, and `width` if it has one. An entry has its own. A
            file that does not tell its input convention needs a `clip_spec`.

    Raises:
        ValueError: an unknown name, `pretrained` with a bare architecture, kwargs with an entry.

    Example:
        >>> import kdvideo, torch
        >>> model = create_model("r3d_10_w16.pcl-vcp_ucf101mini-s1", pretrained=True).eval()
        >>> frames = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8)
        >>> model(model.clip_spec.transform()(frames)[None]).shape
        torch.Size([1, 128])
        >>> classifier = create_model("c3d", num_classes=101, width=8, clip_spec=kdvideo.ClipSpec(size=64))
        >>> classifier(torch.randn(2, 3, 16, 64, 64)).shape
        torch.Size([2, 101])
    """
    name = source_name(name)
    if not isinstance(parse_source(name), EntryName):
        return _create_foreign(name, num_classes, pretrained=pretrained, zoo=zoo, kwargs=kwargs)
    found = _find_or_none(name, zoo, pretrained=pretrained, kwargs=kwargs)
    if found is None:
        return _with_new_head(build_backbone(name, **kwargs), num_classes)
    model = _with_head(_build_backbone(found, pretrained=pretrained), found.entry.model, num_classes)
    contents = read_contents(bring_weights(found, source=name)) if pretrained else None
    report = fill_from(model, contents) if contents else None
    if isinstance(model, ClassificationModel) and not (report and report.new):
        names = contents.classes if contents else found.entry.class_names
        model.class_names = complete_names(names, model) if model.num_classes == _own_classes(found.entry.model) else ()
    return model


def _create_foreign(
    source: str, num_classes: int | None, *, pretrained: bool, zoo: ZooLike | None, kwargs: Mapping[str, Any]
) -> Backbone | ClassificationModel:
    """Builds the model of a repository, folder or file, with its weights."""
    _check_pretrained(source, pretrained)
    if others := [key for key in kwargs if key != "clip_spec"]:
        raise ValueError(f"{source!r} has its own settings: {', '.join(others)} cannot be given")
    model: Model = load_model(source, zoo=zoo, **kwargs)[0]
    if isinstance(model, ClassificationModel) and num_classes in (None, model.num_classes):
        return model
    return _with_new_head(backbone_of(model), num_classes)


def _check_pretrained(source: str, pretrained: bool) -> None:
    if not pretrained:
        raise ValueError(f"{source!r} names weights: give `pretrained` True")


def _own_classes(spec: ModelSpec) -> int | None:
    """Returns the number of classes of a model of classes, else None."""
    return None if spec.head in ("none", "pcl_head") else spec.head_kwargs.get("num_classes")


def _with_head(backbone: Backbone, spec: ModelSpec, num_classes: int | None) -> Backbone | ClassificationModel:
    """Puts the head that a spec says on a backbone, or a new one."""
    own = _own_classes(spec)
    if own is None or num_classes not in (None, own):
        return _with_new_head(backbone, num_classes)
    model: Any = spec.add_head(backbone)
    return model


def _with_new_head(backbone: Backbone, num_classes: int | None) -> Backbone | ClassificationModel:
    return ClassificationModel(backbone, num_classes=num_classes) if num_classes else backbone


def create_pcl_model(
    name: str | Path,
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
        name: a backbone, or what `create_model` takes for weights; those have their own heads.
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
        >>> import kdvideo, torch
        >>> model = create_pcl_model("r2plus1d_10", width=8, clip_spec=kdvideo.ClipSpec(clip_len=8, size=32))
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
    name = source_name(name)
    if not isinstance(parse_source(name), EntryName):
        _check_pretrained(name, pretrained)
        if others := ", ".join({**kwargs, **head_kwargs}):
            raise ValueError(f"{name!r} has its own settings: {others} cannot be given")
        return load_pcl_model(name, zoo=zoo)[0]
    found = _find_or_none(name, zoo, pretrained=pretrained, kwargs={**kwargs, **head_kwargs})
    if found is None:
        return build_pcl_model(build_backbone(name, **kwargs), **head_kwargs)
    model = found.entry.model.build()
    if not isinstance(model, PCLModel):
        raise ValueError(f"{name!r} has no pretext head: use create_model, which gives its backbone")
    if pretrained:
        fill_from(model, read_contents(bring_weights(found, source=name)))
    return model


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
        if Path(name).is_dir():
            raise
        otherwise = "`kdvideo zoo list` names all; import the module that registers one of your own"
        raise unknown_name("model", name, list_models(zoo=zoo), otherwise=otherwise) from None
    if kwargs:
        raise ValueError(f"{name!r} is a zoo entry with its own settings: {', '.join(kwargs)} cannot be given")
    return found


def _build_backbone(found: FoundEntry, *, pretrained: bool) -> Backbone:
    """Builds the entry's backbone. If a complete file will fill it next, no random weights are drawn."""
    with Uninitialised() if pretrained else nullcontext():
        return found.entry.model.build_backbone()
