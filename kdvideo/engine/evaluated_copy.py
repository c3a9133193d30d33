"""The network that evaluations at an epoch's end measure, in the precision of EVAL.AMP."""

import torch

from kdvideo.engine.precision import prepare_frozen
from kdvideo.models.folding import find_foldable, refresh_folded
from kdvideo.models.spec import Model, ModelSpec, backbone_of

__all__ = ["EvaluatedCopy"]


class EvaluatedCopy:
    """A folded copy of a network, built once and brought up to date for each evaluation.

    In fp32 there is no copy, and the network itself is measured.

    Args:
        spec: how the network is built.
        model: the network, which is trained.
        dtype: the type in which the copy's backbone computes.
    """

    def __init__(self, spec: ModelSpec, model: Model, dtype: torch.dtype) -> None:
        self._spec = spec
        self._model = model
        self._dtype = dtype
        self._copy: Model | None = None
        self._pairs: list[tuple[str, str]] = []  # convolutions of the whole network, each with its BatchNorm

    def current(self) -> Model:
        """Returns the network to measure, with the model's current weights."""
        if self._dtype == torch.float32:
            return self._model
        if self._copy is None:
            self._copy = self._build()
        refresh_folded(self._copy, self._model, self._pairs)
        return self._copy

    def _build(self) -> Model:
        copy = self._spec.build().to(next(self._model.parameters()).device).eval()
        backbone = backbone_of(copy)
        (prefix,) = (name for name, module in copy.named_modules() if module is backbone)
        start = f"{prefix}." if prefix else ""
        self._pairs = [(f"{start}{conv}", f"{start}{norm}") for conv, norm in find_foldable(backbone)]
        prepare_frozen(copy, self._dtype)
        return copy
