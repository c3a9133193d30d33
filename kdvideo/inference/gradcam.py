"""Grad-CAM of clips: where, and in which frames, a network sees what raises one of its scores.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
arXiv 1610.02391, with time as a third dimension of the map.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kdvideo.extras import extra_imports
from kdvideo.models.backbone import Backbone

__all__ = ["find_last_map", "grad_cam"]


def grad_cam(score: Callable[[Tensor], Tensor], layer: nn.Module, clips: Tensor) -> Tensor:
    """Computes each clip's Grad-CAM map, upsampled trilinearly to its frames.

    ::

        weight[k] = mean over t, i, j of  d score / d map[k, t, i, j]         (equation 1)
        heat      = ReLU( sum over k of  weight[k] * map[k] )                 (equation 2)

    Args:
        score: maps prepared clips `[B, 3, T, H, W]` to one score per clip, `[B]`, through the layer.
        layer: the module that gives the map `[B, K, t, h, w]`.
        clips: prepared clips `[B, 3, T, H, W]`.

    Returns:
        The heat of each pixel, 0 or more, `[B, T, H, W]`.
    """
    with extra_imports():
        from captum.attr import LayerAttribution, LayerGradCam
    heat = LayerGradCam(score, layer).attribute(clips.requires_grad_(), relu_attributions=True)
    return LayerAttribution.interpolate(heat, clips.shape[2:], "trilinear")[:, 0].detach()


def find_last_map(backbone: Backbone, clip: Tensor) -> tuple[str, nn.Module, tuple[int, ...]]:
    """Finds the last feature map before the pooling. It takes one forward pass.

    Args:
        backbone: the backbone, in eval mode.
        clip: a prepared clip `[1, 3, T, H, W]`.

    Returns:
        The module's name in the backbone, the module, and (t, h, w) of its map `[1, K, t, h, w]`.

    Raises:
        ValueError: there is no such map, as in transformers with a class token.
    """
    last: list[tuple[nn.Module, torch.Size]] = []

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        # After the pooling there is only one place, or no spatial dimension.
        if isinstance(output, Tensor) and output.ndim > 2 and output[0, 0].numel() > 1:
            last[:] = [(module, output.shape)]

    handles = [module.register_forward_hook(note) for module in backbone.modules()]
    try:
        with torch.inference_mode():
            backbone(clip)
    finally:
        for handle in handles:
            handle.remove()
    names = {module: name for name, module in backbone.named_modules()}
    module, shape = last[0] if last else (backbone, torch.Size())
    # A norm over the last dimension has its channels there, so the map consists of tokens.
    if len(shape) != 5 or shape[0] != 1 or isinstance(module, nn.LayerNorm):
        where = f"what its {names[module]} gives is {list(shape)}" if last else "it has none"
        raise ValueError(
            f"Grad-CAM needs a last map [1, K, t, h, w] that is pooled to the feature; {type(backbone).__name__} has "
            f"another way to its feature ({where}): choose a convolutional backbone"
        )
    return names[module], module, tuple(shape[2:])
