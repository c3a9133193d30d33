"""R(2+1)D: each 3D convolution split into a spatial and a temporal one, with BatchNorm and ReLU between.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018, arXiv 1711.11248. The
channels between the two are chosen to keep a full 3D convolution's parameters (section 3.5). The published 10- and
18-layer nets differ in three places: how wide the split stem is, whether the second convolution of a block counts its
own channels (10) or takes the first one's (18), and whether the shortcut is split as well (10).
"""

from torch import nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone, NetBackbone, ResidualConvs, create_basic_stage, stage_widths
from kdvideo.models.pytorchvideo_parts import Net, create_conv_2plus1d
from kdvideo.registry import BACKBONES

__all__ = ["create_r2plus1d", "r2plus1d_10", "r2plus1d_18"]

_STAGE_DEPTH = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2)}


def create_r2plus1d(*, depth: int = 10, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds R(2+1)D from PyTorchVideo's `Conv2plus1d` and stages of basic blocks.

    Args:
        depth: weight layers, counting a split convolution once: 10 or 18.
        width: channels of the stem; the last stage has 8 times as many.
        clip_spec: the input convention; the default is 16 residual frames of 112 x 112.

    Returns:
        A backbone of `8 * width` features; 14.37 M (10) or 31.30 M (18) parameters at width 64.

    Raises:
        ValueError: another depth.
    """
    if depth not in _STAGE_DEPTH:
        raise ValueError(f"R(2+1)D has no depth {depth}: choose one of {', '.join(map(str, _STAGE_DEPTH))}")
    # torchvision's 18-layer stem is narrower than the formula asks for: 45 channels at width 64
    stem_inner = _inner_channels(3, width, kernel=(3, 7, 7)) if depth == 10 else max(1, 45 * width // 64)
    convs: ResidualConvs = _create_convs_10 if depth == 10 else _create_convs_18
    blocks: list[nn.Module] = [_create_stem(width, inner_channels=stem_inner)]
    dim_in = width
    for stage, (blocks_in_stage, dim_out) in enumerate(zip(_STAGE_DEPTH[depth], stage_widths(width), strict=True)):
        blocks.append(
            create_basic_stage(
                depth=blocks_in_stage,
                dim_in=dim_in,
                dim_out=dim_out,
                stride=1 if stage == 0 else 2,
                convs=convs,
            )
        )
        dim_in = dim_out
    return NetBackbone(blocks=blocks, num_features=dim_in, clip_spec=clip_spec or ClipSpec())


def _inner_channels(dim_in: int, dim_out: int, *, kernel: tuple[int, int, int] = (3, 3, 3)) -> int:
    """Channels between the two convolutions that keep the parameters of a full one (section 3.5)."""
    time, height, width = kernel
    return max(1, time * height * width * dim_in * dim_out // (height * width * dim_in + time * dim_out))


def _create_stem(width: int, *, inner_channels: int) -> Net:
    conv = create_conv_2plus1d(
        in_channels=3,
        out_channels=width,
        inner_channels=inner_channels,
        conv_xy_first=True,
        kernel_size=(3, 7, 7),
        stride=(1, 2, 2),
        padding=(1, 3, 3),
    )
    return Net(blocks=nn.ModuleList([conv, nn.BatchNorm3d(width), nn.ReLU(inplace=True)]))


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


def _create_convs_10(dim_in: int, dim_out: int, stride: int) -> tuple[nn.Module, nn.Module, nn.Module | None]:
    conv_a = _create_conv(dim_in, dim_out, stride=stride, inner_channels=_inner_channels(dim_in, dim_out))
    conv_b = _create_conv(dim_out, dim_out, inner_channels=_inner_channels(dim_out, dim_out))
    if stride == 1 and dim_in == dim_out:
        return conv_a, conv_b, None
    shortcut_inner = _inner_channels(dim_in, dim_out, kernel=(1, 1, 1))
    return conv_a, conv_b, _create_conv(dim_in, dim_out, stride=stride, inner_channels=shortcut_inner, kernel=1)


def _create_convs_18(dim_in: int, dim_out: int, stride: int) -> tuple[nn.Module, nn.Module, nn.Module | None]:
    inner_channels = _inner_channels(dim_in, dim_out)
    conv_a = _create_conv(dim_in, dim_out, stride=stride, inner_channels=inner_channels)
    conv_b = _create_conv(dim_out, dim_out, inner_channels=inner_channels)
    keeps_shape = stride == 1 and dim_in == dim_out
    return conv_a, conv_b, None if keeps_shape else nn.Conv3d(dim_in, dim_out, 1, stride=stride, bias=False)


@BACKBONES.register()
def r2plus1d_10(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """The 1-1-1-1 R(2+1)D of VCOP and PCL; see `create_r2plus1d`."""
    return create_r2plus1d(depth=10, width=width, clip_spec=clip_spec)


@BACKBONES.register()
def r2plus1d_18(*, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """torchvision's 2-2-2-2 `r2plus1d_18` without its classifier; see `create_r2plus1d`."""
    return create_r2plus1d(depth=18, width=width, clip_spec=clip_spec)
