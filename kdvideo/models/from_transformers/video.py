"""Adapters of the library's video networks: `[B, C, T, H, W]` in, the feature that their classifier sees out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone

__all__ = ["TokenLayout", "VideoBackbone", "XCLIPBackbone", "keep_on_device"]


@dataclass(frozen=True)
class TokenLayout:
    """How a network of the library makes tokens of a clip.

    Attributes:
        body: the part of a classifier, or of a larger model, that gives the tokens. "" if the network is that part.
        patch: `(t, h, w)`, the frames and pixels that become one token.
        arguments: what its forward needs besides the clip.
        class_token: whether the first token stands for the whole clip.
        space_first: whether all times of a place follow each other, and not all places of a time.
        takes_any_clip: whether it takes clips of other lengths and sizes than it was trained with.
    """

    body: str
    patch: tuple[int, int, int]
    arguments: dict[str, Any] = field(default_factory=dict)
    class_token: bool = False
    space_first: bool = False
    takes_any_clip: bool = False


class VideoBackbone(Backbone):
    """A video transformer of the library, less its classifier.

    Args:
        net: the library's network. A classifier's last layer has become the identity, so that its logits are what the
            classifier would see.
        layout: how it makes tokens.
        feature: turns what `net` returns into features `[B, D]`.
        num_features: D, the length of a feature.
        clip_spec: the input convention.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        layout: TokenLayout,
        feature: Callable[[Any], Tensor],
        num_features: int,
        clip_spec: ClipSpec,
    ) -> None:
        super().__init__(num_features=num_features, clip_spec=clip_spec)
        self.net = net
        self.layout, self.feature = layout, feature
        self.takes_any_clip = layout.takes_any_clip

    def forward(self, clip: Tensor) -> Tensor:
        """Computes the features. `[B, C, T, H, W]` -> `[B, D]`."""
        arguments = {} if self.layout.body else self.layout.arguments  # a classifier gives its body's by itself
        return self.feature(self.net(clip.transpose(1, 2), **arguments))

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the map of tokens, without a class token. `[B, C, T, H, W]` -> `[B, D, t, h, w]`."""
        layout = self.layout
        body = getattr(self.net, layout.body) if layout.body else self.net
        tokens = body(clip.transpose(1, 2), **layout.arguments).last_hidden_state
        tokens = tokens[:, 1:] if layout.class_token else tokens
        times, height, width = (max(side // step, 1) for side, step in zip(clip.shape[2:], layout.patch, strict=True))
        if layout.space_first:
            return tokens.unflatten(1, (height, width, times)).permute(0, 4, 3, 1, 2)
        return tokens.unflatten(1, (times, height, width)).permute(0, 4, 1, 2, 3)


class XCLIPBackbone(Backbone):
    """X-CLIP's half that sees. Its frames exchange messages, and a transformer over time joins them.

    The feature is what the library compares with texts, before it is scaled to length 1.

    Args:
        net: the library's `XCLIPModel`. Its half that reads is dropped.
        clip_spec: the input convention.
    """

    takes_any_clip = False

    def __init__(self, net: Any, *, clip_spec: ClipSpec) -> None:
        super().__init__(num_features=net.visual_projection.out_features, clip_spec=clip_spec)
        self.vision_model, self.visual_projection, self.mit = net.vision_model, net.visual_projection, net.mit

    def forward(self, clip: Tensor) -> Tensor:
        """Computes the features. `[B, C, T, H, W]` -> `[B, D]`."""
        frames = self.visual_projection(self._see(clip).pooler_output)
        return self.mit(frames.unflatten(0, (len(clip), -1))).pooler_output

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the map of all frames' tokens, projected. `[B, C, T, H, W]` -> `[B, D, T, h, w]`."""
        tokens = self.vision_model.post_layernorm(self._see(clip).last_hidden_state[:, 1:])
        side = self.vision_model.config.patch_size
        places = (clip.shape[3] // side, clip.shape[4] // side)
        return self.visual_projection(tokens).unflatten(1, places).unflatten(0, (len(clip), -1)).permute(0, 4, 1, 2, 3)

    def _see(self, clip: Tensor) -> Any:
        return self.vision_model(clip.transpose(1, 2).flatten(0, 1))


def keep_on_device(module: nn.Module, name: str) -> None:
    """Makes a plain tensor of a module a buffer, so that it moves with it. Its state dict stays as it is.

    VideoMAE copies its position encodings to the device in each forward, which would wait for it.
    """
    value: torch.Tensor = getattr(module, name)
    delattr(module, name)
    module.register_buffer(name, value, persistent=False)
