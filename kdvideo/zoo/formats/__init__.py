"""Checkpoints of other projects, recognised by their keys."""

from kdvideo.zoo.formats import hara, mmaction2, pytorchvideo, small_nets, torchvision
from kdvideo.zoo.formats.conventions import CLIP_SPECS, parse_clip_spec
from kdvideo.zoo.formats.layout import Converted, Layout, convert, find_state, recognise

__all__ = ["CLIP_SPECS", "LAYOUTS", "Converted", "Layout", "convert", "find_state", "parse_clip_spec", "recognise"]

LAYOUTS = (
    *small_nets.LAYOUTS,
    *torchvision.LAYOUTS,
    *mmaction2.LAYOUTS,
    *hara.LAYOUTS,
    *pytorchvideo.LAYOUTS,
)
