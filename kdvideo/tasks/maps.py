"""The maps of student and teacher that losses of tokens compare: which stages, and how large."""

from collections.abc import Iterable, Sequence

import torch

from kdvideo.models.backbone import Backbone
from kdvideo.registry import LOSSES

__all__ = ["check_layers", "choose_layers", "compared_outputs", "map_shapes"]


def compared_outputs(losses: Iterable[str]) -> set[str]:
    """Returns the outputs that distillation losses compare, e.g. "feature" and "tokens"."""
    return {LOSSES.get(name).output for name in losses}


@torch.no_grad()
def map_shapes(backbone: Backbone, stages: Sequence[str]) -> dict[str, tuple[int, int, int, int]]:
    """Returns the shape `[D, t, h, w]` of each stage's map for a clip of the backbone's own length and size."""
    clip, was_training = backbone.clip_spec, backbone.training
    device = next((parameter.device for parameter in backbone.parameters()), None)
    try:
        backbone.eval()  # otherwise the pass would change BatchNorm's statistics
        zeros = torch.zeros(1, 3, clip.clip_len, clip.size, clip.size, device=device)
        maps = backbone.forward_outputs(zeros, stages=stages, feature=False)
    finally:
        backbone.train(was_training)
    return {stage: (found.shape[1], found.shape[2], found.shape[3], found.shape[4]) for stage, found in maps.items()}


def choose_layers(asked: Sequence[str], losses: Sequence[str], *, backbone: Backbone) -> tuple[str, ...]:
    """Returns the student's stages that losses compare with the teacher's tokens. By default, it is the last one.

    Args:
        asked: names of stages. Empty for the default.
        losses: names of distillation losses.
        backbone: the student's backbone.

    Raises:
        ValueError: see `check_layers`.
    """
    check_layers(asked, losses, stages=backbone.stages)
    return tuple(asked or backbone.stages[-1:]) if "tokens" in compared_outputs(losses) else ()


def check_layers(asked: Sequence[str], losses: Sequence[str], *, stages: Sequence[str]) -> None:
    """Checks the names of a student's stages.

    Args:
        asked: names of stages.
        losses: names of distillation losses.
        stages: the names that there are.

    Raises:
        ValueError: the student lacks a stage, or no loss compares it.
    """
    if not asked:
        return
    if "tokens" not in compared_outputs(losses):
        others = [name for name in LOSSES.names() if getattr(LOSSES.get(name), "output", "") == "tokens"]
        raise ValueError(
            f"`student_layers` is {list(asked)}, but none of `losses` {list(losses)} compares maps: choose of "
            f"{', '.join(others)}, or leave it empty"
        )
    if not set(asked) <= set(stages) or len(set(asked)) < len(asked):
        raise ValueError(f"`student_layers` is {list(asked)}; it must name stages, each once: {', '.join(stages)}")
