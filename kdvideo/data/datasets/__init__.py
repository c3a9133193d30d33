"""Datasets as lists of videos; importing this package registers them in DATASETS."""

from kdvideo.data.datasets.folders import class_folders, unlabelled
from kdvideo.data.datasets.hmdb51 import hmdb51
from kdvideo.data.datasets.kinetics import kinetics
from kdvideo.data.datasets.lists import video_lists
from kdvideo.data.datasets.records import Subset, VideoRecord
from kdvideo.data.datasets.ucf101 import ucf101

__all__ = [
    "Subset",
    "VideoRecord",
    "class_folders",
    "hmdb51",
    "kinetics",
    "ucf101",
    "unlabelled",
    "video_lists",
]
