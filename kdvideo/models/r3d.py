"""R3D: residual networks of full 3D convolutions, of 10 and 18 layers.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018, arXiv 1711.11248.
"""

from torch import nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.former_names import former_attributes
from kdvideo.models.backbone import Backbone, NetBackbone, create_basic_stage, find_stages, stage_widths
from kdvideo.models.pytorchvideo_parts import create_res_basic_stem
from kdvideo.registry import BACKBONES

__all__ = ["r3d_10", "r3d_18", "r3d_18_hara"]

__getattr__ = former_attributes(__name__)

_Blocks = tuple[int, int, int, int]  # of the four stages


@BACKBONES.register()
def r3d_10(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds the R3D of VCOP and PCL, one block per stage.

    Args:
        width: channels of the stem; the last stage has 8 times as many.
        clip_spec: the input convention. Defaults to 16 residual frames of 112 x 112.

    Returns:
        A backbone of `8 * width` features; 14.36 M parameters at width 64.
    """
    return _create(_create_stem(width), (1, 1, 1, 1), width=width, clip_spec=clip_spec)


@BACKBONES.register()
def r3d_18(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds torchvision's `r3d_18` without its classifier, two blocks per stage.

    Args:
        width: channels of the stem; the last stage has 8 times as many.
        clip_spec: the input convention. Defaults to 16 residual frames of 112 x 112.

    Returns:
        A backbone of `8 * width` features; 33.17 M parameters at width 64.
    """
    return _create(_create_stem(width), (2, 2, 2, 2), width=width, clip_spec=clip_spec)


@BACKBONES.register()
def r3d_18_hara(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds the R3D-18 of Hara et al., CVPR 2018, arXiv 1711.09577.

    Its stem has seven time steps and is followed by pooling.

    Args:
        width: channels of the stem; the last stage has 8 times as many.
        clip_spec: the input convention. Defaults to 16 residual frames of 112 x 112.
    """
    stem = create_res_basic_stem(
        in_channels=3,
        out_channels=width,
        conv_kernel_size=(7, 7, 7),
        conv_stride=(1, 2, 2),
        conv_padding=(3, 3, 3),
        pool_kernel_size=(3, 3, 3),
        pool_stride=(2, 2, 2),
        pool_padding=(1, 1, 1),
    )
    return _create(stem, (2, 2, 2, 2), width=width, clip_spec=clip_spec)


def _create_stem(width: int) -> nn.Module:
    return create_res_basic_stem(
        in_channels=3,
        out_channels=width,
        conv_kernel_size=(3, 7, 7),
        conv_stride=(1, 2, 2),
        conv_padding=(1, 3, 3),
        pool=None,
    )


def _create(stem: nn.Module, num_blocks: _Blocks, *, width: int, clip_spec: ClipSpec | None) -> Backbone:
    blocks = [stem]
    dim_in = width
    for stage, (depth, dim_out) in enumerate(zip(num_blocks, stage_widths(width), strict=True)):
        stride = 1 if stage == 0 else 2
        blocks.append(
            create_basic_stage(depth=depth, dim_in=dim_in, dim_out=dim_out, stride=stride, convs=_create_convs)
        )
        dim_in = dim_out
    return NetBackbone(
        blocks=blocks, num_features=dim_in, clip_spec=clip_spec or ClipSpec(), stages=find_stages(blocks)
    )


def _create_convs(dim_in: int, dim_out: int, stride: int) -> tuple[nn.Module, nn.Module, nn.Module | None]:
    conv_a = nn.Conv3d(dim_in, dim_out, 3, stride=stride, padding=1, bias=False)
    conv_b = nn.Conv3d(dim_out, dim_out, 3, padding=1, bias=False)
    keeps_shape = stride == 1 and dim_in == dim_out
    return conv_a, conv_b, None if keeps_shape else nn.Conv3d(dim_in, dim_out, 1, stride=stride, bias=False)
