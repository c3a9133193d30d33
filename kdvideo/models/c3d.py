"""C3D with BatchNorm, as VCOP and PCL use it.

It has eight 3x3x3 convolutions and no fully connected layers. Tran et al., "Learning Spatiotemporal Features with 3D
Convolutional Networks", ICCV 2015, arXiv 1412.0767.
"""

from torch import nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.former_names import former_attributes
from kdvideo.models.backbone import Backbone, NetBackbone
from kdvideo.models.pytorchvideo_parts import create_res_basic_stem
from kdvideo.registry import BACKBONES

__all__ = ["c3d"]

__getattr__ = former_attributes(__name__)

# (channels in units of the stem's width, pooling behind the convolution) of conv1, 2, 3a, 3b, 4a, 4b, 5a, 5b
_LAYERS: tuple[tuple[int, tuple[int, int, int] | None], ...] = (
    (1, (1, 2, 2)),
    (2, (2, 2, 2)),
    (4, None),
    (4, (2, 2, 2)),
    (8, None),
    (8, (2, 2, 2)),
    (8, None),
    (8, None),
)
# where the size of the map changes next, as in residual networks: behind conv1, 2, 3b, 4b, 5b
_STAGES = {"stem": 0, "stage1": 1, "stage2": 3, "stage3": 5, "stage4": 7}


@BACKBONES.register()
def c3d(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds C3D with BatchNorm from PyTorchVideo stems (convolution, norm, ReLU, pooling).

    Args:
        width: channels of the first convolution; the last four have 8 times as many.
        clip_spec: the input convention. Defaults to 16 residual frames of 112 x 112.

    Returns:
        A backbone of `8 * width` features; 27.66 M parameters at width 64.
    """
    blocks = []
    dim_in = 3
    for multiplier, pool in _LAYERS:
        blocks.append(_create_layer(dim_in, multiplier * width, pool=pool))
        dim_in = multiplier * width
    return NetBackbone(blocks=blocks, num_features=dim_in, clip_spec=clip_spec or ClipSpec(), stages=_STAGES)


def _create_layer(dim_in: int, dim_out: int, *, pool: tuple[int, int, int] | None) -> nn.Module:
    return create_res_basic_stem(
        in_channels=dim_in,
        out_channels=dim_out,
        conv_kernel_size=(3, 3, 3),
        conv_stride=(1, 1, 1),
        conv_padding=(1, 1, 1),
        conv_bias=True,
        pool=None if pool is None else nn.MaxPool3d,
        pool_kernel_size=pool,
        pool_stride=pool,
        pool_padding=(0, 0, 0),
    )
