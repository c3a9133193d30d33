"""Torch datasets that execute plans: decode the planned frames, crop, augment, do the pretext operation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdvideo.data.augment.plan import (
    AugmentConfig,
    AugmentPlace,
    augment_clips,
    augment_each,
    center_crop_plan,
    stack_maps,
)
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import (
    SamplePlan,
    TupleLayout,
    plan_fixed_tuple,
    plan_negatives,
    plan_sample,
    plan_uniform_clips,
)
from kdvideo.data.pretexts.base import Pretext, PretextPlan
from kdvideo.data.videos import VideoList

__all__ = [
    "FixedTuples",
    "TrainTuples",
    "TupleConfig",
    "UniformClips",
    "augment_batch",
]


@dataclass(frozen=True)
class TupleConfig:
    """All that turns a video into tuples.

    Attributes:
        layout: how the clips lie.
        pretext: the pretext task.
        augment: what training draws.
        short_side: pixels to which a frame's shorter side is resized before the crop.
    """

    layout: TupleLayout
    pretext: Pretext
    augment: AugmentConfig
    short_side: int


class TrainTuples(Dataset):
    """Training samples; the key of one is (epoch, index), so that a sample needs no state.

    Args:
        videos: each at least `config.layout.min_frames` long.
        config: what a tuple is.
        seed: the run's seed.
        num_negatives: how many other videos' numbers go with a sample; 0 for losses that need none.
        augment_on: "device" leaves the colours, the blur and the pretext operation to `augment_batch`.
    """

    def __init__(
        self,
        videos: VideoList,
        config: TupleConfig,
        *,
        seed: int,
        num_negatives: int,
        augment_on: AugmentPlace = "worker",
    ) -> None:
        self.videos = videos
        self.config = config
        self.seed = seed
        self.num_negatives = num_negatives
        self.augment_on = augment_on

    def __len__(self) -> int:
        return len(self.videos)

    def plan(self, key: tuple[int, int]) -> SamplePlan:
        """What the sample (epoch, index) is made of."""
        return plan_sample(
            self.config.layout,
            self.config.pretext,
            augment=self.config.augment,
            key=(self.seed, *key),
            num_frames=self.videos.num_frames[key[1]],
        )

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """`clips` uint8 `[N, C, T, H, W]`, `pretext_label`, `index`, `epoch`, `negatives` `[K]`.

        With `augment_on="device"` also what `augment_batch` takes.
        """
        epoch, index = key
        config = self.config
        plan = self.plan(key)
        negatives = plan_negatives(
            key=(self.seed, epoch, index), num_videos=len(self), num_negatives=self.num_negatives
        )
        clips = self.videos.read_clips(
            index, plan.clips, crops=plan.augments, short_side=config.short_side, size=config.layout.clip.size
        )
        sample = {
            "pretext_label": plan.pretext.label,
            "index": index,
            "epoch": epoch,
            "negatives": torch.from_numpy(negatives),
        }
        if self.augment_on == "device":
            left_to_do = {**stack_maps(plan.augments), "pretext_argument": plan.pretext.argument}
            return {**sample, "clips": torch.stack(clips), **left_to_do}
        return {**sample, "clips": config.pretext.apply(augment_each(clips, plan.augments), plan.pretext)}


def augment_batch(batch: Mapping[str, Any], *, pretext: Pretext | None) -> dict[str, Any]:
    """Does to a batch, on the device it is on, what a dataset with `augment_on="device"` has left to do.

    The draws and the operations are the workers', so the clips are the same up to the rounding of the device.

    Args:
        batch: `clips` uint8 `[B, N, C, T, H, W]`, and what is taken out: `color` `[B, N, 3, 6]`, `blur_sigma` `[B, N]`
            and, with a pretext, `pretext_argument` `[B]`.
        pretext: what is done to the tuples afterwards, as `pretext_label` `[B]` says; None for labelled clips.
    """
    rest = dict(batch)
    clips, color, blur_sigma = rest["clips"], rest.pop("color"), rest.pop("blur_sigma")
    done = augment_clips(*(part.flatten(0, 1) for part in (clips, color, blur_sigma))).view_as(clips)
    if pretext is not None:
        answers = zip(rest["pretext_label"].tolist(), rest.pop("pretext_argument").tolist(), strict=True)
        plans = [PretextPlan(label=label, argument=argument, clips=()) for label, argument in answers]
        done = torch.stack([pretext.apply(one, plan) for one, plan in zip(done, plans, strict=True)])
    return {**rest, "clips": done}


class FixedTuples(Dataset):
    """The evaluation tuples of every video, `num_slots` each, the same in every epoch and run."""

    def __init__(self, videos: VideoList, config: TupleConfig, *, num_slots: int) -> None:
        self.videos = videos
        self.config = config
        self.num_slots = num_slots

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """All tuples of one video: `clips` uint8 `[S, N, C, T, H, W]`, `pretext_label` `[S]`."""
        plans = [
            plan_fixed_tuple(
                self.config.layout,
                self.config.pretext,
                index=index,
                slot=slot,
                num_slots=self.num_slots,
                num_frames=self.videos.num_frames[index],
            )
            for slot in range(self.num_slots)
        ]
        frames = [clip for plan in plans for clip in plan.clips]
        clips = self.videos.read_clips(
            index,
            frames,
            crops=[center_crop_plan()] * len(frames),
            short_side=self.config.short_side,
            size=self.config.layout.clip.size,
        )
        tuples = torch.stack(clips).unflatten(0, (self.num_slots, -1))
        tuples = torch.stack(
            [self.config.pretext.apply(one, plan.pretext) for one, plan in zip(tuples, plans, strict=True)]
        )
        return {"clips": tuples, "pretext_label": torch.tensor([plan.pretext.label for plan in plans])}


class UniformClips(Dataset):
    """`num_clips` clips spread evenly over every video: what features for retrieval and tests of classes are made of.

    Args:
        videos: of any length; one shorter than a clip is looped.
        clip: what a clip is.
        num_clips: of a video.
        short_side: pixels to which a frame's shorter side is resized before the crop.
        num_crops: of each clip, spread along the longer side; 1 is the centre crop.
    """

    def __init__(
        self, videos: VideoList, clip: ClipSpec, *, num_clips: int, short_side: int, num_crops: int = 1
    ) -> None:
        self.videos = videos
        self.clip = clip
        self.num_clips = num_clips
        self.short_side = short_side
        self.num_crops = num_crops

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`clips` uint8 `[S, C, T, H, W]`, a clip's crops one after the other; `class_id`."""
        frames = plan_uniform_clips(self.clip, self.num_clips, num_frames=self.videos.num_frames[index])
        clips = self.videos.read_views(
            index, frames, num_crops=self.num_crops, short_side=self.short_side, size=self.clip.size
        )
        return {"clips": torch.stack(clips), "class_id": self.videos.records[index].class_id}
