"""Checkpoints of other projects, recognised by their keys."""

from kdvideo.zoo.formats import hara, mmaction2, pytorchvideo, torchvision, vcop, videomae
from kdvideo.zoo.formats.conventions import CLIP_SPECS, parse_clip_spec
from kdvideo.zoo.formats.layout import Layout
from kdvideo.zoo.formats.matching import Converted, Match, convert, recognise
from kdvideo.zoo.formats.own import BACKBONE_PREFIX, OWN_CLIP_SPECS, OwnNetwork, find_networks
from kdvideo.zoo.formats.wrapping import FoundState, find_state

__all__ = [
    "BACKBONE_PREFIX",
    "CLIP_SPECS",
    "LAYOUTS",
    "OWN_CLIP_SPECS",
    "Converted",
    "FoundState",
    "Layout",
    "Match",
    "OwnNetwork",
    "convert",
    "find_networks",
    "find_state",
    "parse_clip_spec",
    "recognise",
]

LAYOUTS = (
    *vcop.LAYOUTS,
    *torchvision.LAYOUTS,
    *mmaction2.LAYOUTS,
    *hara.LAYOUTS,
    *pytorchvideo.LAYOUTS,
    *videomae.LAYOUTS,
)
