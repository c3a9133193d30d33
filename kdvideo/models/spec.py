"""The description from which a network is built, as it is stored in JSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import ClassificationModel, PCLModel, build_backbone, build_pcl_model
from kdvideo.registry import BACKBONES, HEADS, NamedRegistry

__all__ = ["Model", "ModelSpec", "backbone_of"]

Model = Backbone | PCLModel | ClassificationModel


@dataclass(frozen=True)
class ModelSpec:
    """The part of a zoo entry from which its network can be rebuilt.

    Attributes:
        backbone: a name of BACKBONES.
        backbone_kwargs: the arguments of its builder besides `clip_spec`.
        clip_spec: the input convention.
        head: "none" for the backbone alone, "pcl_head" for a `PCLModel`, or a name of HEADS, e.g.
            "classification_head", for a `ClassificationModel`.
        head_kwargs: the arguments of the head besides the length of the backbone's features.
    """

    backbone: str
    backbone_kwargs: dict[str, Any]
    clip_spec: ClipSpec
    head: str = "none"
    head_kwargs: dict[str, Any] = field(default_factory=dict)

    def build_backbone(self) -> Backbone:
        """Builds the backbone alone, with random weights.

        Raises:
            ValueError: no backbone has this name, or its arguments are not valid.
        """
        _check_registered("backbone", self.backbone, BACKBONES)
        with self._reported():
            return build_backbone(self.backbone, clip_spec=self.clip_spec, **self.backbone_kwargs)

    def build(self) -> Model:
        """Builds the network with random weights.

        Raises:
            ValueError: a name is not registered, or the arguments are not valid.
        """
        return self.add_head(self.build_backbone())

    def add_head(self, backbone: Backbone) -> Model:
        """Puts the head on a backbone, with random weights.

        Raises:
            ValueError: the head is not registered, or its arguments are not valid.
        """
        if self.head == "none":
            return backbone
        with self._reported():
            if self.head == "pcl_head":
                return build_pcl_model(backbone, **self.head_kwargs)
            _check_registered("head", self.head, HEADS)
            return ClassificationModel(backbone, head=self.head, **self.head_kwargs)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turns an error about an argument into one line. Arguments come from entries and files."""
        try:
            yield
        except (TypeError, RuntimeError, ArithmeticError) as error:
            reason = " ".join(str(error).split())
            arguments = {**self.backbone_kwargs, **self.head_kwargs}
            raise ValueError(f"no model can be built from {self.backbone} with {arguments}: {reason}") from error

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON types."""
        return {**asdict(self), "clip_spec": self.clip_spec.to_dict()}

    @classmethod
    def from_dict(cls, values: Any, *, origin: str) -> Self:
        """Rebuilds a spec from the result of `to_dict`.

        Args:
            values: the result of `to_dict`.
            origin: where the values were found, for messages.

        Raises:
            ValueError: `values` do not describe a network.
        """
        try:
            spec = cls(**{**values, "clip_spec": ClipSpec.from_dict(values["clip_spec"])})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{origin} does not describe a network of this version: {error}") from None
        for key, kind in (("backbone", str), ("backbone_kwargs", dict), ("head", str), ("head_kwargs", dict)):
            if not isinstance(getattr(spec, key), kind):
                raise ValueError(f"{origin} does not describe a network: {key} is no {kind.__name__}")
        return spec


def _check_registered(kind: str, name: str, registry: NamedRegistry) -> None:
    if name not in registry:
        raise ValueError(
            f"the model is built from the {kind} {name!r}, which is not registered here: `import` FILE.py that "
            "has it first"
        )


def backbone_of(model: Model) -> Backbone:
    """Returns the model's backbone, which may be the model itself."""
    return model.backbone if isinstance(model, PCLModel | ClassificationModel) else model
