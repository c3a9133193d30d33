"""C3D as published on Sports-1M and in MMAction2.

It has no BatchNorm, and two fully connected layers behind the convolutions. Tran et al., "Learning Spatiotemporal
Features with 3D Convolutional Networks", ICCV 2015, arXiv 1412.0767, section 3.2.
"""

from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.former_names import former_attributes
from kdvideo.models.backbone import Backbone, NetBackbone
from kdvideo.models.pytorchvideo_parts import create_res_basic_stem
from kdvideo.registry import BACKBONES

__all__ = ["FullyConnected", "c3d_sports1m"]

__getattr__ = former_attributes(__name__)

_Size = tuple[int, int, int]
_POOL: _Size = (2, 2, 2)

# (channels in units of the first layer's, pooling behind the layer and its padding) of conv1a, 2a, 3a, 3b, ... 5b
_LAYERS: tuple[tuple[int, _Size | None, _Size], ...] = (
    (1, (1, 2, 2), (0, 0, 0)),
    (2, _POOL, (0, 0, 0)),
    (4, None, (0, 0, 0)),
    (4, _POOL, (0, 0, 0)),
    (8, None, (0, 0, 0)),
    (8, _POOL, (0, 0, 0)),
    (8, None, (0, 0, 0)),
    (8, _POOL, (0, 1, 1)),
)
# behind conv1a, 2a, 3b, 4b, 5b with their pooling, and the linear layers
_STAGES = {"stem": 0, "stage1": 1, "stage2": 3, "stage3": 5, "stage4": 7, "linear": 8}


class FullyConnected(nn.Module):
    """The layers `fc6` and `fc7`, each with a ReLU, on the flattened map.

    Args:
        in_features: number of places of the map times number of channels.
        out_features: channels of the output, which is a map with one place.
        dropout: probability between the two layers.
    """

    def __init__(self, in_features: int, out_features: int, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_features, out_features)
        self.fc7 = nn.Linear(out_features, out_features)
        self.activation = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Applies both layers. `[B, C, t, h, w]` -> `[B, out_features, 1, 1, 1]`."""
        hidden = self.dropout(self.activation(self.fc6(features.flatten(1))))
        return self.activation(self.fc7(hidden))[:, :, None, None, None]


@BACKBONES.register()
def c3d_sports1m(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds C3D without BatchNorm from PyTorchVideo stems and two fully connected layers.

    Args:
        width: channels of the first convolution. The last four have 8 times as many, the linear layers 64 times.
        clip_spec: the input convention. Defaults to 16 residual frames of 112 x 112. `fc6` fits one size only.

    Returns:
        A backbone of `64 * width` features, the input of the published classifiers; 78.00 M parameters at width 64.

    Raises:
        ValueError: clips have fewer than 16 frames or 16 pixels, so that nothing would be left after the last pooling.
    """
    clip_spec = clip_spec or ClipSpec()
    if min(clip_spec.clip_len, clip_spec.size) < 16:
        raise ValueError(
            f"c3d_sports1m cannot take clips of {clip_spec.clip_len} frames of {clip_spec.size} x {clip_spec.size}: "
            "it halves time and space four times, give at least 16 frames of 16 x 16"
        )
    blocks: list[nn.Module] = []
    dim_in = 3
    for multiplier, pool, padding in _LAYERS:
        blocks.append(_create_layer(dim_in, multiplier * width, pool=pool, padding=padding))
        dim_in = multiplier * width
    side = (clip_spec.size // 16 + 2) // 2  # pool5 pads one pixel on each side
    blocks.append(FullyConnected(dim_in * (clip_spec.clip_len // 16) * side**2, 64 * width))
    return NetBackbone(blocks=blocks, num_features=64 * width, clip_spec=clip_spec, stages=_STAGES)


def _create_layer(dim_in: int, dim_out: int, *, pool: _Size | None, padding: _Size) -> nn.Module:
    return create_res_basic_stem(
        in_channels=dim_in,
        out_channels=dim_out,
        conv_kernel_size=(3, 3, 3),
        conv_stride=(1, 1, 1),
        conv_padding=(1, 1, 1),
        conv_bias=True,
        norm=None,
        pool=None if pool is None else nn.MaxPool3d,
        pool_kernel_size=pool,
        pool_stride=pool,
        pool_padding=padding,
    )
