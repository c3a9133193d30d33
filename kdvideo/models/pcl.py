"""A backbone with PCL's heads, and a backbone with a classifier."""

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.heads import ClassificationHead, OrderHead, PretextHead, ProjectionHead, build_head
from kdvideo.registry import BACKBONES

__all__ = ["ClassificationModel", "PCLModel", "build_backbone", "build_pcl_model", "takes_option"]


class PCLModel(nn.Module):
    """A backbone with a pretext and a projection head.

    Args:
        backbone: gives features `[B, D]`.
        pretext_head: maps the features `[B, N, D]` of a tuple to logits `[B, P]`.
        projection_head: maps features `[B, 2, D]` to projections `[B, 2, E]`.

    Example:
        >>> from kdvideo import ClipSpec
        >>> backbone = build_backbone("r3d_10", width=8, clip_spec=ClipSpec(clip_len=8, size=32))
        >>> model = PCLModel(backbone, pretext_head=PretextHead(64), projection_head=ProjectionHead(64))
        >>> outputs = model(torch.randn(2, 3, 3, 8, 32, 32))
        >>> {name: list(output.shape) for name, output in outputs.items()}
        {'feature': [2, 3, 64], 'pretext_logits': [2, 5], 'z': [2, 2, 128]}
    """

    def __init__(
        self, backbone: Backbone, *, pretext_head: PretextHead | OrderHead, projection_head: ProjectionHead
    ) -> None:
        super().__init__()
        # The heads come first, because optimizer states in checkpoints have the parameters in this order.
        self.built_as: tuple[str, dict[str, Any]] | None = None  # head and arguments, if `build_pcl_model` built it
        self.pretext_head = pretext_head
        self.projection_head = projection_head
        self.backbone = backbone

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """Computes the outputs of backbone and heads, with all clips in one batch.

        Args:
            clips: prepared clips `[B, N, C, T, H, W]`.

        Returns:
            `feature[B, N, D]`, `pretext_logits[B, P]` and `z[B, 2, E]`. z projects the first and the last clip; the
            clips between carry the pretext operation.
        """
        return self.answer(self.backbone(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))

    def answer(self, features: Tensor) -> dict[str, Tensor]:
        """Computes the outputs of the heads. Features `[B, N, D]` -> the same as `forward`."""
        ends = torch.stack((features[:, 0], features[:, -1]), dim=1)
        return {"feature": features, "pretext_logits": self.pretext_head(features), "z": self.projection_head(ends)}


class ClassificationModel(nn.Module):
    """A backbone with a classifier: `[B, C, T, H, W]` -> `[B, num_classes]`.

    Args:
        backbone: gives features `[B, D]`.
        num_classes: length of the logits.
        head: a name of HEADS. Defaults to the linear "classification_head".
        head_kwargs: other arguments of the head.

    Attributes:
        class_names: names of the outputs in their order. Empty if they have no names.
        num_classes: length of the logits. 0 after `reset_classifier(0)`: the outputs are features `[B, D]`.
        built_as: the name of the head and its arguments, as a `ModelSpec` has them.

    Example:
        >>> from kdvideo import ClipSpec
        >>> backbone = build_backbone("c3d", width=8, clip_spec=ClipSpec(clip_len=8, size=32))
        >>> model = ClassificationModel(backbone, num_classes=101)
        >>> model(torch.randn(2, 3, 8, 32, 32)).shape
        torch.Size([2, 101])
        >>> model.reset_classifier(5)
        >>> model.forward_head(model.backbone(torch.randn(2, 3, 8, 32, 32))).shape
        torch.Size([2, 5])
    """

    def __init__(
        self, backbone: Backbone, *, num_classes: int, head: str = "classification_head", **head_kwargs: Any
    ) -> None:
        super().__init__()
        self.class_names: Sequence[str] = ()
        self.num_classes = num_classes
        self.backbone = backbone
        self.built_as = (head, {"num_classes": num_classes, **head_kwargs})
        self.head = build_head(head, backbone.num_features, shape=(), num_classes=num_classes, **head_kwargs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Returns `class_names` as a tuple."""
        return tuple(self.class_names)

    @property
    def clip_spec(self) -> ClipSpec:
        """Returns the backbone's input convention."""
        return self.backbone.clip_spec

    @property
    def num_features(self) -> int:
        """Returns D, the length of the features that the head sees."""
        return self.backbone.num_features

    def forward(self, clip: Tensor) -> Tensor:
        """Computes the logits of prepared clips. `[B, C, T, H, W]` -> `[B, num_classes]`."""
        return self.head(self.backbone(clip))

    def forward_head(self, features: Tensor) -> Tensor:
        """Computes the logits of the backbone's features. `[B, D]` -> `[B, num_classes]`.

        `forward_features` gives maps `[B, D, t, h, w]`. How they become features differs between networks, so
        `backbone` has to do it.

        Raises:
            ValueError: the features are no `[B, D]`.
        """
        if features.dim() != 2 or features.shape[1] != self.num_features:
            raise ValueError(
                f"features are {list(features.shape)}; the head takes [B, {self.num_features}], as "
                "model.backbone(clip) gives them"
            )
        return self.head(features)

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the backbone's map. `[B, C, T, H, W]` -> `[B, D, t, h, w]`."""
        return self.backbone.forward_features(clip)

    def get_classifier(self) -> nn.Module:
        """Returns the head, which `reset_classifier` replaces."""
        return self.head

    def reset_classifier(self, num_classes: int, *, classes: Sequence[str] = ()) -> None:
        """Replaces the head by a new, random linear one, on the device and in the precision of the backbone.

        Args:
            num_classes: the number of outputs. With 0, the outputs are the features.
            classes: their names in their order. Empty if they have none.

        Raises:
            ValueError: there is not one name per class.
        """
        if classes and len(classes) != num_classes:
            raise ValueError(f"there are {len(classes)} names for {num_classes} classes: give one for each, or none")
        near = next(self.backbone.parameters())
        head = ClassificationHead(self.num_features, num_classes=num_classes) if num_classes else None
        self.head = nn.Identity() if head is None else head.to(near.device, near.dtype)
        self.num_classes, self.class_names = num_classes, tuple(classes)
        self.built_as = ("classification_head", {"num_classes": num_classes})


def takes_option(name: str, option: str) -> bool:
    """Tells whether the builder of the backbone `name` has a keyword `option`, e.g. "width"."""
    parameters = inspect.signature(BACKBONES.get(name)).parameters
    return option in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def build_backbone(name: str, **kwargs: Any) -> Backbone:
    """Builds a registered backbone and checks it against the contract.

    Args:
        name: a name of BACKBONES.
        kwargs: options of its builder, e.g. `clip_spec` and `width`.

    Raises:
        ValueError: the name is unknown, the backbone does not have an option, or the registered object is no backbone.
    """
    for option in kwargs:
        if not takes_option(name, option):
            allowed = ", ".join(inspect.signature(BACKBONES.get(name)).parameters)
            raise ValueError(f"backbone {name!r} has no option {option!r}: leave it out, it takes {allowed}")
    backbone = BACKBONES.get(name)(**kwargs)
    options = {option: value for option, value in kwargs.items() if option != "clip_spec"}
    missing = [member for member in ("num_features", "clip_spec", "forward_features") if not hasattr(backbone, member)]
    if missing:
        raise ValueError(
            f"backbone {name!r} gives a {type(backbone).__name__} without {', '.join(missing)}: derive it from "
            "kdvideo.models.Backbone, which says what they are"
        )
    backbone.built_as = (name, options)  # which `kdvideo.zoo.network.describe_network` looks at
    return backbone


def build_pcl_model(
    backbone: Backbone,
    *,
    num_pretext_classes: int = 5,
    tuple_len: int = 3,
    projection_dim: int = 128,
    pretext_head: str = "pretext_head",
) -> PCLModel:
    """Puts PCL's two heads on a backbone.

    Args:
        backbone: gives features `[B, D]`.
        num_pretext_classes: P, the labels of the pretext.
        tuple_len: N, the clips of a tuple.
        projection_dim: E, the length of a projection.
        pretext_head: a name of HEADS.
    """
    in_features = backbone.num_features
    head = build_head(
        pretext_head, in_features, shape=(tuple_len,), num_classes=num_pretext_classes, tuple_len=tuple_len
    )
    model = PCLModel(
        backbone,
        pretext_head=cast(PretextHead, head),  # or one of the user's with the same attributes
        projection_head=ProjectionHead(in_features, out_features=projection_dim),
    )
    kwargs = {"num_pretext_classes": num_pretext_classes, "tuple_len": tuple_len, "projection_dim": projection_dim}
    model.built_as = ("pcl_head", {**kwargs, "pretext_head": pretext_head})
    return model
