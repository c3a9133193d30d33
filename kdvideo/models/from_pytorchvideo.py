"""Networks of PyTorchVideo's hub as backbones, under their names there, without the classifier.

The tensors keep PyTorchVideo's names, so a hub checkpoint without its classifier is a backbone's state. The default
`clip_spec` is what the published weights were trained on: "frame length x sample rate" of PyTorchVideo's
docs/source/model_zoo.md, and the crop that the head's pooling window covers. PyTorchVideo tests on larger crops, where
that window slides and gives several features per clip.
"""

from collections.abc import Callable

from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone, NetBackbone, find_stages
from kdvideo.models.pytorchvideo_parts import EfficientX3d, Net, Swish, hub
from kdvideo.registry import BACKBONES

__all__ = ["NATIVE_CLIP_SPECS", "EfficientX3DBackbone", "X3DBackbone"]


class X3DBackbone(NetBackbone):
    """X3D without its classifier; 2048 features.

    Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition", arXiv 2004.04730, table 1.

    ::

        stages -> pre_conv, norm, ReLU -> mean -> post_conv, ReLU -> feature

    A ReLU follows the mean, so the feature is not the mean of `forward_features`, which applies the same layers without
    the mean at each place of the map.

    Args:
        net: PyTorchVideo's network; its head is taken apart.
        clip_spec: the input convention.
    """

    def __init__(self, net: Net, *, clip_spec: ClipSpec) -> None:
        head = net.blocks[-1]
        stages = {**find_stages(net.blocks), "head": len(net.blocks) - 1}
        super().__init__(blocks=net.blocks, num_features=head.proj.in_features, clip_spec=clip_spec, stages=stages)
        head.proj = head.dropout = head.activation = head.pool.pool = None

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the feature map. `[B, C, T, H, W]` -> `[B, 2048, t, h, w]`."""
        return self._behind_pooling(self._before_pooling(clip))

    def forward_stages(self, clip: Tensor) -> dict[str, Tensor]:
        """Computes the maps of all stages in one pass. `[B, C, T, H, W]` -> `[B, D, t, h, w]` each."""
        outputs = {}
        for name, block in zip(self.stages[:-1], self.blocks[:-1], strict=True):
            clip = outputs[name] = block(clip)
        return {**outputs, self.stages[-1]: self._behind_pooling(self._project(clip))}

    def forward(self, clip: Tensor) -> Tensor:
        """Computes the features. `[B, C, T, H, W]` -> `[B, 2048]`."""
        return self._behind_pooling(self._before_pooling(clip).mean(dim=(2, 3, 4), keepdim=True)).flatten(1)

    def _before_pooling(self, clip: Tensor) -> Tensor:
        for block in self.blocks[:-1]:
            clip = block(clip)
        return self._project(clip)

    def _project(self, features: Tensor) -> Tensor:
        head = self.blocks[-1].pool
        return head.pre_act(head.pre_norm(head.pre_conv(features)))

    def _behind_pooling(self, features: Tensor) -> Tensor:
        head = self.blocks[-1].pool
        return head.post_act(head.post_conv(features))


class EfficientX3DBackbone(Backbone):
    """X3D for mobile CPUs, without its classifier.

    Its 2048 features are made as in `X3DBackbone`.

    Args:
        net: PyTorchVideo's network; its parts are taken over.
        clip_spec: the input convention.
    """

    def __init__(self, net: EfficientX3d, *, clip_spec: ClipSpec) -> None:
        stages = ("stem", "stage1", "stage2", "stage3", "stage4", "head")
        super().__init__(num_features=net.projection.model.in_features, clip_spec=clip_spec, stages=stages)
        self.s1, self.s2, self.s3, self.s4, self.s5 = net.s1, net.s2, net.s3, net.s4, net.s5
        self.head = nn.ModuleDict({"conv_5": net.head.conv_5, "lin_5": net.head.lin_5})

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the feature map. `[B, C, T, H, W]` -> `[B, 2048, t, h, w]`."""
        return self.head["lin_5"](self._before_pooling(clip))

    def forward_stages(self, clip: Tensor) -> dict[str, Tensor]:
        """Computes the maps of all stages in one pass. `[B, C, T, H, W]` -> `[B, D, t, h, w]` each."""
        outputs = {}
        for name, stage in zip(self.stages, (self.s1, self.s2, self.s3, self.s4, self.s5), strict=False):
            clip = outputs[name] = stage(clip)
        return {**outputs, self.stages[-1]: self.head["lin_5"](self.head["conv_5"](clip))}

    def forward(self, clip: Tensor) -> Tensor:
        """Computes the features. `[B, C, T, H, W]` -> `[B, 2048]`."""
        return self.head["lin_5"](self._before_pooling(clip).mean(dim=(2, 3, 4), keepdim=True)).flatten(1)

    def _before_pooling(self, clip: Tensor) -> Tensor:
        for stage in (self.s1, self.s2, self.s3, self.s4, self.s5):
            clip = stage(clip)
        return self.head["conv_5"](clip)


def _adapt_resnet(net: Net, *, clip_spec: ClipSpec) -> Backbone:
    """Builds a backbone of all blocks but the head."""
    *blocks, head = net.blocks
    return NetBackbone(
        blocks=blocks, num_features=head.proj.in_features, clip_spec=clip_spec, stages=find_stages(blocks)
    )


def _without_own_swish(net: nn.Module) -> nn.Module:
    """Replaces PyTorchVideo's swish by torch's SiLU, which is the same function.

    The backward of PyTorchVideo's swish uses a deprecated part of torch.
    """
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, Swish):
                setattr(module, name, nn.SiLU())
    return net


# name -> its adapter, and the length, stride and size of a clip
_NETWORKS: dict[str, tuple[Callable[..., Backbone], tuple[int, int, int]]] = {
    "c2d_r50": (_adapt_resnet, (8, 8, 224)),
    "i3d_r50": (_adapt_resnet, (8, 8, 224)),
    "slow_r50": (_adapt_resnet, (8, 8, 224)),
    "csn_r101": (_adapt_resnet, (32, 2, 224)),
    "r2plus1d_r50": (_adapt_resnet, (16, 4, 224)),
    "x3d_xs": (X3DBackbone, (4, 12, 160)),
    "x3d_s": (X3DBackbone, (13, 6, 160)),
    "x3d_m": (X3DBackbone, (16, 5, 224)),
    "x3d_l": (X3DBackbone, (16, 5, 312)),
    "efficient_x3d_xs": (EfficientX3DBackbone, (4, 12, 160)),
    "efficient_x3d_s": (EfficientX3DBackbone, (13, 6, 160)),
}


NATIVE_CLIP_SPECS = {
    name: ClipSpec(clip_len=clip_len, frame_stride=frame_stride, size=size, modality="rgb")
    for name, (_, (clip_len, frame_stride, size)) in _NETWORKS.items()
}


def _register(name: str) -> None:
    adapt, native = _NETWORKS[name][0], NATIVE_CLIP_SPECS[name]

    @BACKBONES.register_as(name)
    def build(*, clip_spec: ClipSpec | None = None) -> Backbone:
        return adapt(_without_own_swish(getattr(hub, name)()), clip_spec=clip_spec or native)


for _name in _NETWORKS:
    _register(_name)

BACKBONES.refuse(
    "slowfast_r50",
    "slowfast_r101",
    "slowfast_16x8_r101_50_50",
    reason="SlowFast takes two clips of different frame rates, a backbone takes one: use slow_r50, its slow pathway",
)
BACKBONES.refuse(
    "slow_r50_detection",
    "slowfast_r50_detection",
    reason="detection takes boxes beside the clip, a backbone takes the clip alone: use slow_r50",
)
