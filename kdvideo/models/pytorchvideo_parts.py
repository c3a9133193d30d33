"""The parts of PyTorchVideo that our backbones are built from, imported without its deprecation warnings."""

import warnings

with warnings.catch_warnings():
    # pytorchvideo 0.1.5 calls torch.jit.script while it is imported; nothing here uses what that makes.
    warnings.simplefilter("ignore")
    from pytorchvideo.layers.convolutions import create_conv_2plus1d
    from pytorchvideo.models.net import Net
    from pytorchvideo.models.resnet import ResBlock, ResStage
    from pytorchvideo.models.stem import create_res_basic_stem

__all__ = ["Net", "ResBlock", "ResStage", "create_conv_2plus1d", "create_res_basic_stem"]
