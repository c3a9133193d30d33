"""R(2+1)D: each 3D convolution is split into a spatial and a temporal one.

BatchNorm and ReLU lie between the two. The number of channels there keeps the parameters of a full 3D convolution. The
published nets differ in how they compute that number, in the stem and in the shortcuts. Tran et al., "A Closer Look at
Spatiotemporal Convolutions for Action Recognition", CVPR 2018, arXiv 1711.11248, section 3.5.
"""

from dataclasses import dataclass

from torch import nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.former_names import former_attributes
from kdvideo.models.backbone import Backbone, NetBackbone, ResidualConvs, create_basic_stage, find_stages, stage_widths
from kdvideo.models.pytorchvideo_parts import Net, create_conv_2plus1d
from kdvideo.registry import BACKBONES

__all__ = ["r2plus1d_10", "r2plus1d_18", "r2plus1d_34", "r2plus1d_34_mmaction2"]

__getattr__ = former_attributes(__name__)


@dataclass(frozen=True)
class _Variant:
    """The differences between the published nets.

    Attributes:
        blocks: number of blocks in each stage.
        convs: builds the convolutions of one block.
        narrow_stem: whether the stem has torchvision's 45 inner channels at width 64; the formula asks for 83.
        pooled_stem: whether a spatial max pooling follows the stem.
        norm_eps: eps of the BatchNorms after convolutions. It is 1e-3 in nets that come from Caffe2.
        inner_norm_eps: eps of the BatchNorms within split convolutions.
    """

    blocks: tuple[int, int, int, int]
    convs: ResidualConvs
    narrow_stem: bool = True
    pooled_stem: bool = False
    norm_eps: float = 1e-5
    inner_norm_eps: float = 1e-5


@BACKBONES.register()
def r2plus1d_10(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds the R(2+1)D of VCOP and PCL, one block per stage.

    Args:
        width: channels of the stem; the last stage has 8 times as many.
        clip_spec: the input convention. Defaults to 16 residual frames of 112 x 112.

    Returns:
        A backbone of `8 * width` features; 14.37 M parameters at width 64.
    """
    return _create(_R2PLUS1D_10, width=width, clip_spec=clip_spec)


@BACKBONES.register()
def r2plus1d_18(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds torchvision's `r2plus1d_18` without its classifier, two blocks per stage.

    Args:
        width: channels of the stem; the last stage has 8 times as many.
        clip_spec: the input convention. Defaults to 16 residual frames of 112 x 112.

    Returns:
        A backbone of `8 * width` features; 31.30 M parameters at width 64.
    """
    return _create(_R2PLUS1D_18, width=width, clip_spec=clip_spec)


@BACKBONES.register()
def r2plus1d_34(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds the R(2+1)D-34 of VMZ and IG65M without its classifier.

    Its stages have 3, 4, 6 and 3 blocks.

    Args:
        width: channels of the stem; the last stage has 8 times as many.
        clip_spec: the input convention. Defaults to 16 residual frames of 112 x 112.

    Returns:
        A backbone of `8 * width` features; 63.49 M parameters at width 64.
    """
    return _create(_R2PLUS1D_34, width=width, clip_spec=clip_spec)


@BACKBONES.register()
def r2plus1d_34_mmaction2(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds MMAction2's R(2+1)D-34 without its classifier.

    It has a wide stem with pooling, and split shortcuts.

    Args:
        width: channels of the stem; the last stage has 8 times as many.
        clip_spec: the input convention. Defaults to 16 residual frames of 112 x 112.

    Returns:
        A backbone of `8 * width` features.
    """
    return _create(_R2PLUS1D_34_MMACTION2, width=width, clip_spec=clip_spec)


def _create(variant: _Variant, *, width: int, clip_spec: ClipSpec | None) -> Backbone:
    stem_inner = max(1, 45 * width // 64) if variant.narrow_stem else _inner_channels(3, width, kernel=(3, 7, 7))
    blocks: list[nn.Module] = [_create_stem(width, inner_channels=stem_inner, pooled=variant.pooled_stem)]
    dim_in = width
    for stage, (depth, dim_out) in enumerate(zip(variant.blocks, stage_widths(width), strict=True)):
        stride = 1 if stage == 0 else 2
        blocks.append(
            create_basic_stage(depth=depth, dim_in=dim_in, dim_out=dim_out, stride=stride, convs=variant.convs)
        )
        dim_in = dim_out
    for name, module in nn.ModuleList(blocks).named_modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = variant.inner_norm_eps if name.endswith(".norm") else variant.norm_eps
    return NetBackbone(
        blocks=blocks, num_features=dim_in, clip_spec=clip_spec or ClipSpec(), stages=find_stages(blocks)
    )


def _inner_channels(dim_in: int, dim_out: int, *, kernel: tuple[int, int, int] = (3, 3, 3)) -> int:
    """Returns the number of inner channels that keeps a full convolution's parameters (section 3.5)."""
    time, height, width = kernel
    return max(1, time * height * width * dim_in * dim_out // (height * width * dim_in + time * dim_out))


def _create_stem(width: int, *, inner_channels: int, pooled: bool) -> Net:
    conv = create_conv_2plus1d(
        in_channels=3,
        out_channels=width,
        inner_channels=inner_channels,
        conv_xy_first=True,
        kernel_size=(3, 7, 7),
        stride=(1, 2, 2),
        padding=(1, 3, 3),
    )
    pool = [nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))] if pooled else []
    return Net(blocks=nn.ModuleList([conv, nn.BatchNorm3d(width), nn.ReLU(inplace=True), *pool]))


def _create_conv(dim_in: int, dim_out: int, *, stride: int = 1, inner_channels: int, kernel: int = 3) -> nn.Module:
    return create_conv_2plus1d(
        in_channels=dim_in,
        out_channels=dim_out,
        inner_channels=inner_channels,
        conv_xy_first=True,
        kernel_size=(kernel,) * 3,
        stride=(stride,) * 3,
        padding=(kernel // 2,) * 3,
    )


# How the published nets make a block's convolutions:
#                  second convolution counts   shortcut
#   10             its own channels            split
#   18             the first one's             plain
#   34             its own channels            plain
#   34, MMAction2  its own channels            split, its channels counted as for three time steps
_Convs = tuple[nn.Module, nn.Module, nn.Module | None]


def _create_convs_10(dim_in: int, dim_out: int, stride: int) -> _Convs:
    conv_a, conv_b = _create_main_convs(dim_in, dim_out, stride)
    return conv_a, conv_b, _create_split_shortcut(dim_in, dim_out, stride, counted_time=1)


def _create_convs_18(dim_in: int, dim_out: int, stride: int) -> _Convs:
    inner_channels = _inner_channels(dim_in, dim_out)
    conv_a = _create_conv(dim_in, dim_out, stride=stride, inner_channels=inner_channels)
    conv_b = _create_conv(dim_out, dim_out, inner_channels=inner_channels)
    return conv_a, conv_b, _create_plain_shortcut(dim_in, dim_out, stride)


def _create_convs_34(dim_in: int, dim_out: int, stride: int) -> _Convs:
    conv_a, conv_b = _create_main_convs(dim_in, dim_out, stride)
    return conv_a, conv_b, _create_plain_shortcut(dim_in, dim_out, stride)


def _create_convs_34_mmaction2(dim_in: int, dim_out: int, stride: int) -> _Convs:
    conv_a, conv_b = _create_main_convs(dim_in, dim_out, stride)
    return conv_a, conv_b, _create_split_shortcut(dim_in, dim_out, stride, counted_time=3)


def _create_main_convs(dim_in: int, dim_out: int, stride: int) -> tuple[nn.Module, nn.Module]:
    conv_a = _create_conv(dim_in, dim_out, stride=stride, inner_channels=_inner_channels(dim_in, dim_out))
    return conv_a, _create_conv(dim_out, dim_out, inner_channels=_inner_channels(dim_out, dim_out))


def _create_plain_shortcut(dim_in: int, dim_out: int, stride: int) -> nn.Module | None:
    if stride == 1 and dim_in == dim_out:
        return None
    return nn.Conv3d(dim_in, dim_out, 1, stride=stride, bias=False)


def _create_split_shortcut(dim_in: int, dim_out: int, stride: int, *, counted_time: int) -> nn.Module | None:
    if stride == 1 and dim_in == dim_out:
        return None
    inner_channels = _inner_channels(dim_in, dim_out, kernel=(counted_time, 1, 1))
    return _create_conv(dim_in, dim_out, stride=stride, inner_channels=inner_channels, kernel=1)


_R2PLUS1D_10 = _Variant((1, 1, 1, 1), _create_convs_10, narrow_stem=False)
_R2PLUS1D_18 = _Variant((2, 2, 2, 2), _create_convs_18)
_R2PLUS1D_34 = _Variant((3, 4, 6, 3), _create_convs_34, norm_eps=1e-3, inner_norm_eps=1e-3)
_R2PLUS1D_34_MMACTION2 = _Variant(
    (3, 4, 6, 3), _create_convs_34_mmaction2, narrow_stem=False, pooled_stem=True, norm_eps=1e-3
)
