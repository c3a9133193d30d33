"""Labelled training clips, for finetuning and for training from scratch."""

from typing import Any

import torch
from torch.utils.data import Dataset

from kdvideo.data.augment.plan import AugmentConfig, AugmentPlace, augment_each, stack_maps
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import plan_clip
from kdvideo.data.videos import VideoList

__all__ = ["TrainClips"]


class TrainClips(Dataset):
    """One clip a video and epoch; the key of one is (epoch, index), as in `TrainTuples`.

    Args:
        videos: all with a class.
        clip: what a clip is.
        augment: what training draws.
        short_side: pixels to which a frame's shorter side is resized before the crop.
        seed: the run's seed.
        augment_on: "device" leaves the colours and the blur to `kdvideo.data.samples.augment_batch`.
    """

    def __init__(
        self,
        videos: VideoList,
        clip: ClipSpec,
        *,
        augment: AugmentConfig,
        short_side: int,
        seed: int,
        augment_on: AugmentPlace = "worker",
    ) -> None:
        self.videos = videos
        self.clip = clip
        self.augment = augment
        self.short_side = short_side
        self.seed = seed
        self.augment_on = augment_on

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """`clips` uint8 `[1, C, T, H, W]`, `class_id`, `index`, `epoch`; for the device also what it takes."""
        epoch, index = key
        record, num_frames = self.videos.records[index], self.videos.num_frames[index]
        frames, augment = plan_clip(self.clip, self.augment, key=(self.seed, epoch, index), num_frames=num_frames)
        clips = self.videos.read_clips(
            index, [frames], crops=[augment], short_side=self.short_side, size=self.clip.size
        )
        sample = {"class_id": record.class_id, "index": index, "epoch": epoch}
        if self.augment_on == "device":
            return {**sample, "clips": torch.stack(clips), **stack_maps([augment])}
        return {**sample, "clips": augment_each(clips, [augment])}
