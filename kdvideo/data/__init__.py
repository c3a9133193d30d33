"""From video files to uint8 clips: decoding, plans, pretexts, augmentation, datasets, loaders; fills PRETEXTS."""

from kdvideo.data.batch import Batch, SampleKey
from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.data.datasets import VideoRecord, ucf101
from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.base import Pretext, PretextOperation, PretextPlan
from kdvideo.data.pretexts.no_pretext import NoPretext
from kdvideo.data.pretexts.rotnet import RotNet
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.data.pretexts.vcp import VCP

__all__ = [
    "VCOP",
    "VCP",
    "Batch",
    "ClipSpec",
    "Draws",
    "NoPretext",
    "Pretext",
    "PretextOperation",
    "PretextPlan",
    "RotNet",
    "SampleKey",
    "VideoRecord",
    "prepare_clips",
    "ucf101",
]
