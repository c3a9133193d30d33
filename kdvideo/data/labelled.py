"""Labelled training clips, for finetuning and for training from scratch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from kdvideo.data.augment.plan import AugmentConfig, AugmentPlace, augment_each, stack_maps
from kdvideo.data.batch import NO_CLASS, Sample, SampleKey
from kdvideo.data.cache.resident import locate_clips
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.mixup import draw_mixing, pair_samples
from kdvideo.data.plan import plan_clip
from kdvideo.data.videos import VideoList

__all__ = ["TrainClips"]


class TrainClips(Dataset):
    """One labelled clip per video and epoch.

    As in `TrainTuples`, the key of a sample is a `SampleKey`.

    Args:
        videos: with a class, or else `class_id` is NO_CLASS.
        clip: what a clip is.
        augment: what training draws.
        short_side: pixels to which a frame's shorter side is resized before the crop.
        seed: the run's seed.
        augment_on: "device" leaves the colours and the blur to `kdvideo.data.samples.augment_batch`.

    Attributes:
        resident_shapes: as in `TrainTuples`.
        mixup: as in `TrainTuples`.
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
        self.resident_shapes: Sequence[tuple[int, int]] = ()
        self.mixup = 0.0

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def clip_size(self) -> int:
        """Height and width of the clips."""
        return self.clip.size

    def __getitem__(self, key: SampleKey | tuple[int, int]) -> Sample:
        """Reads the labelled clip of one video and epoch.

        It has `clips` uint8 `[1, C, T, H, W]`, `class_id`, `index` and `epoch`. With `augment_on="device"` it also has
        what `augment_batch` takes.
        """
        key = SampleKey(*key)
        own = self.read(key)
        if not self.mixup:
            return own
        partner, share = draw_mixing(self.mixup, seed=self.seed, key=key, num_videos=len(self))
        return pair_samples(own, self.read(SampleKey(key.epoch, partner)), share=share)

    def read(self, key: SampleKey) -> Sample:
        """Reads the clip of one video and epoch, which is not mixed."""
        num_frames = self.videos.num_frames[key.video]
        frames, augment = plan_clip(self.clip, self.augment, seed=self.seed, key=key, num_frames=num_frames)
        class_id = self.videos.records[key.video].class_id
        sample: Sample = {
            "class_id": NO_CLASS if class_id is None else class_id,
            "index": key.video,
            "epoch": key.epoch,
        }
        cut: Any = {"places": [augment.crop], "flips": [augment.flip], "size": self.clip_size}
        if self.resident_shapes:
            located = locate_clips([frames], shape=self.resident_shapes[key.video], **cut)
            return {**sample, **stack_maps([augment]), **located}
        cut["resizing"] = self.clip.resizing
        clips = self.videos.read_clips(key.video, [frames], short_side=self.short_side, **cut)
        if self.augment_on == "device":
            return {**sample, **stack_maps([augment]), "clips": torch.stack(clips)}
        return {**sample, "clips": augment_each(clips, [augment])}
