"""torchvision's video networks as backbones, under their names there, without the classifier.

The tensors keep torchvision's names, so a checkpoint without its classifier is a backbone's state. The default
`clip_spec` is that of torchvision's Kinetics-400 weights: its `VideoClassification` transforms, and the clip length and
frame rate of its documentation at Kinetics' 30 frames a second. `r3d_18` and `r2plus1d_18` are kdvideo's own.
"""

import dataclasses
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import avg_pool3d
from torchvision.models import video
from torchvision.ops import Permute

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.normalisation import IMAGENET, KINETICS
from kdvideo.models.backbone import Backbone
from kdvideo.registry import BACKBONES

__all__ = ["NATIVE_CLIP_SPECS", "MC3Backbone", "MViTBackbone", "S3DBackbone", "Swin3DBackbone"]

_STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")
_S3D_ENDS = (0, 3, 6, 12, 15)  # its layers before each pooling, and the last


class MC3Backbone(Backbone):
    """`mc3_18` without its classifier; 512 features.

    Its first stages have convolutions over space and time, the later ones over space alone.
    Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018, arXiv 1711.11248.
    """

    def __init__(self, net: video.VideoResNet, *, clip_spec: ClipSpec) -> None:
        super().__init__(num_features=net.fc.in_features, clip_spec=clip_spec, stages=_STAGES)
        self.stem, self.layer1, self.layer2 = net.stem, net.layer1, net.layer2
        self.layer3, self.layer4 = net.layer3, net.layer4

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the feature map. `[B, C, T, H, W]` -> `[B, 512, t, h, w]`."""
        for part in (self.stem, self.layer1, self.layer2, self.layer3, self.layer4):
            clip = part(clip)
        return clip

    def parts_to_recompute(self) -> list[nn.Module]:
        """Returns the modules that gradient checkpointing computes twice."""
        return [self.stem, self.layer1, self.layer2, self.layer3, self.layer4]

    def forward_stages(self, clip: Tensor) -> dict[str, Tensor]:
        """Computes the maps of all stages in one pass. `[B, C, T, H, W]` -> `[B, D, t, h, w]` each."""
        outputs = {}
        for name, part in zip(
            self.stages, (self.stem, self.layer1, self.layer2, self.layer3, self.layer4), strict=True
        ):
            clip = outputs[name] = part(clip)
        return outputs


class S3DBackbone(Backbone):
    """`s3d`, separable Inception; 1024 features. Xie et al., ECCV 2018, arXiv 1712.04851.

    Its own pooling slides a window of two time steps, so the first and the last step weigh half as much as the others.
    The map is taken behind that window, so that its mean is the network's own feature.
    """

    def __init__(self, net: video.S3D, *, clip_spec: ClipSpec) -> None:
        super().__init__(num_features=net.classifier[1].in_channels, clip_spec=clip_spec, stages=_STAGES)
        self.features = net.features

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the feature map. `[B, C, T, H, W]` -> `[B, 1024, t, h, w]`.

        t is one less than the number of time steps, or 1 if there is only one.
        """
        return self._pool(self.features(clip))

    def parts_to_recompute(self) -> list[nn.Module]:
        """Returns the modules that gradient checkpointing computes twice."""
        return list(self.features)

    def forward_stages(self, clip: Tensor) -> dict[str, Tensor]:
        """Computes the maps of all stages in one pass. `[B, C, T, H, W]` -> `[B, D, t, h, w]` each."""
        outputs = []
        for layer in self.features:
            clip = layer(clip)
            outputs.append(clip)
        maps = [outputs[end] for end in _S3D_ENDS[:-1]]
        return dict(zip(self.stages, [*maps, self._pool(clip)], strict=True))

    def _pool(self, features: Tensor) -> Tensor:
        return avg_pool3d(features, kernel_size=(min(2, features.shape[2]), 1, 1), stride=1)


class Swin3DBackbone(Backbone):
    """`swin3d_t`, `_s`, `_b`: Video Swin Transformer; 768, 768, 1024 features. Liu et al., arXiv 2106.13230."""

    def __init__(self, net: video.SwinTransformer3d, *, clip_spec: ClipSpec) -> None:
        super().__init__(num_features=net.num_features, clip_spec=clip_spec, stages=_STAGES)
        self.patch_embed, self.pos_drop = net.patch_embed, net.pos_drop
        self.features, self.norm = net.features, net.norm
        self.channels_first = Permute([0, 4, 1, 2, 3])  # a module, so that hooks see the map

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the feature map. `[B, C, T, H, W]` -> `[B, D, t, h, w]`."""
        return self.channels_first(self.norm(self.features(self.pos_drop(self.patch_embed(clip)))))

    def parts_to_recompute(self) -> list[nn.Module]:
        """Returns the modules that gradient checkpointing computes twice."""
        return list(self.features)

    def forward_stages(self, clip: Tensor) -> dict[str, Tensor]:
        """Computes the maps of all stages in one pass. `[B, C, T, H, W]` -> `[B, D, t, h, w]` each."""
        seen = self.pos_drop(self.patch_embed(clip))
        outputs = [seen]
        for number, layer in enumerate(self.features):  # stages, and between them what merges patches
            seen = layer(seen)
            if number % 2 == 0:
                outputs.append(seen)
        maps = [output.permute(0, 4, 1, 2, 3) for output in outputs[:-1]]
        return dict(zip(self.stages, [*maps, self.channels_first(self.norm(seen))], strict=True))


class MViTBackbone(Backbone):
    """`mvit_v1_b`, `mvit_v2_s`: Multiscale Vision Transformer; 768 features. Fan et al., arXiv 2104.11227.

    The feature is the class token, so it is not the mean of `forward_features`, which holds all other tokens.

    Raises:
        ValueError: the clips have another size than its position encodings.
    """

    takes_any_clip = False

    def __init__(self, net: video.MViT, *, clip_spec: ClipSpec) -> None:
        super().__init__(num_features=net.head[1].in_features, clip_spec=clip_spec, stages=_STAGES)
        self.conv_proj, self.pos_encoding = net.conv_proj, net.pos_encoding
        self.blocks, self.norm = net.blocks, net.norm
        clip_len = self.pos_encoding.temporal_size * self.conv_proj.stride[0]
        size = self.pos_encoding.spatial_size[0] * self.conv_proj.stride[1]
        if (clip_spec.clip_len, clip_spec.size) != (clip_len, size):
            raise ValueError(
                f"MViT takes clips of {clip_len} frames of {size} x {size} only, not of {clip_spec.clip_len} frames of "
                f"{clip_spec.size} x {clip_spec.size}: its position encodings have that size"
            )

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the feature map. `[B, C, T, H, W]` -> `[B, 768, t, h, w]`."""
        return _as_map(*self._tokens(clip))

    def parts_to_recompute(self) -> list[nn.Module]:
        """Returns the modules that gradient checkpointing computes twice."""
        return list(self.blocks)

    def forward_stages(self, clip: Tensor) -> dict[str, Tensor]:
        """Computes the maps of all stages in one pass. `[B, C, T, H, W]` -> `[B, D, t, h, w]` each."""
        tokens, shape = self._embed(clip)
        outputs = []
        for number, block in enumerate(self.blocks):
            if number == 0 or block.pool_skip is not None:  # the first block of a stage
                outputs.append(_as_map(tokens, shape))
            tokens, shape = block(tokens, shape)
        return dict(zip(self.stages, [*outputs, _as_map(self.norm(tokens), shape)], strict=True))

    def forward(self, clip: Tensor) -> Tensor:
        """Computes the features. `[B, C, T, H, W]` -> `[B, 768]`."""
        return self._tokens(clip)[0][:, 0]

    def _tokens(self, clip: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
        """Returns the tokens `[B, 1 + t*h*w, 768]`, the class token first, and (t, h, w)."""
        tokens, shape = self._embed(clip)
        for block in self.blocks:
            tokens, shape = block(tokens, shape)
        return self.norm(tokens), shape

    def _embed(self, clip: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
        tokens = self.pos_encoding(self.conv_proj(clip).flatten(2).transpose(1, 2))
        return tokens, (self.pos_encoding.temporal_size, *self.pos_encoding.spatial_size)


def _as_map(tokens: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Puts tokens where they are, without the class token. `[B, 1 + t*h*w, D]` -> `[B, D, t, h, w]`."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, shape)


_KINETICS = ClipSpec(**KINETICS, modality="rgb")
_IMAGENET = ClipSpec(**IMAGENET, modality="rgb")
_FAIR = ClipSpec(modality="rgb")  # a mean of 0.45 and a std of 0.225, as kdvideo's default

# name -> its adapter, the normalisation, and the length, stride and size of a clip
_NETWORKS: dict[str, tuple[Callable[..., Backbone], ClipSpec, tuple[int, int, int]]] = {
    "mc3_18": (MC3Backbone, _KINETICS, (16, 2, 112)),
    "s3d": (S3DBackbone, _KINETICS, (128, 2, 224)),
    "mvit_v1_b": (MViTBackbone, _FAIR, (16, 4, 224)),
    "mvit_v2_s": (MViTBackbone, _FAIR, (16, 4, 224)),
    "swin3d_t": (Swin3DBackbone, _IMAGENET, (32, 2, 224)),
    "swin3d_s": (Swin3DBackbone, _IMAGENET, (32, 2, 224)),
    "swin3d_b": (Swin3DBackbone, _IMAGENET, (32, 2, 224)),
}


NATIVE_CLIP_SPECS = {
    name: dataclasses.replace(colors, clip_len=clip_len, frame_stride=frame_stride, size=size)
    for name, (_, colors, (clip_len, frame_stride, size)) in _NETWORKS.items()
}


def _register(name: str) -> None:
    adapt, native = _NETWORKS[name][0], NATIVE_CLIP_SPECS[name]

    @BACKBONES.register_as(name)
    def build(*, clip_spec: ClipSpec | None = None) -> Backbone:
        return adapt(getattr(video, name)(), clip_spec=clip_spec or native)


for _name in _NETWORKS:
    _register(_name)
