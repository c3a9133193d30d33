"""Maps of a backbone in reduced precision."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kdvideo.models.backbone import Backbone

__all__ = ["outputs_in_precision"]


def outputs_in_precision(
    backbone: Backbone, dtype: torch.dtype, *, compiled: bool, frozen: bool
) -> Callable[..., dict[str, Tensor]]:
    """Returns what `forward_outputs` becomes where `run_in_precision` replaces `forward`, with the same arguments.

    Features and maps are fp32, `[B, D]` and `[B, D, t, h, w]`.
    """
    as_written = backbone.forward_outputs

    def compute(clip: Tensor, stages: tuple[str, ...], feature: bool) -> dict[str, Tensor]:
        with torch.autocast(clip.device.type, dtype=dtype, enabled=dtype != torch.float32):
            outputs = as_written(clip, stages=stages, feature=feature)
        return {name: output.float() for name, output in outputs.items()}

    compute_fast = torch.compile(compute, dynamic=False) if compiled else compute

    def in_precision(clip: Tensor, *, stages: Sequence[str], feature: bool = True) -> dict[str, Tensor]:
        if backbone.training or frozen:
            return compute_fast(clip, tuple(stages), feature)
        return as_written(clip, stages=stages, feature=feature)

    return in_precision
