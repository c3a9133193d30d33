"""From video files to uint8 clips: decoding, sample plans, pretext operations, augmentation, datasets, loaders."""

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.data.datasets import VideoRecord, ucf101
from kdvideo.data.pretext import VCP, Pretext, PretextPlan

__all__ = ["VCP", "ClipSpec", "Pretext", "PretextPlan", "VideoRecord", "prepare_clips", "ucf101"]
