"""Parts and `hub` networks of PyTorchVideo, imported without its deprecation warnings."""

import warnings

with warnings.catch_warnings():
    # pytorchvideo 0.1.5 calls torch.jit.script while it is imported; nothing here uses what that makes.
    warnings.simplefilter("ignore")
    from pytorchvideo.layers.convolutions import create_conv_2plus1d
    from pytorchvideo.layers.swish import Swish
    from pytorchvideo.models import hub
    from pytorchvideo.models.accelerator.mobile_cpu.efficient_x3d import EfficientX3d
    from pytorchvideo.models.net import Net
    from pytorchvideo.models.resnet import ResBlock, ResStage
    from pytorchvideo.models.stem import create_res_basic_stem

__all__ = [
    "EfficientX3d",
    "Net",
    "ResBlock",
    "ResStage",
    "Swish",
    "create_conv_2plus1d",
    "create_res_basic_stem",
    "hub",
]
