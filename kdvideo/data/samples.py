"""Torch datasets that execute plans: they decode the planned frames, crop, augment and apply the pretext."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdvideo.data.augment.plan import (
    AugmentConfig,
    AugmentPlace,
    augment_clips,
    augment_each,
    stack_maps,
)
from kdvideo.data.batch import NO_CLASS, Batch, Sample, SampleKey
from kdvideo.data.cache.resident import locate_clips
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.mixup import draw_mixing, pair_samples
from kdvideo.data.plan import (
    SamplePlan,
    TupleLayout,
    plan_fixed_tuple,
    plan_negatives,
    plan_sample,
    plan_uniform_clips,
)
from kdvideo.data.pretexts.base import Pretext
from kdvideo.data.videos import VideoList

__all__ = [
    "FixedTuples",
    "SampleOptions",
    "TrainTuples",
    "TupleConfig",
    "UniformClips",
    "augment_batch",
]


@dataclass(frozen=True)
class TupleConfig:
    """Everything that decides how a video becomes tuples.

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


class SampleOptions(TypedDict):
    """What every kind of `TrainTuples` takes by keyword."""

    seed: int
    num_negatives: int
    augment_on: NotRequired[AugmentPlace]


class TrainTuples(Dataset):
    """Training samples for a pretext task.

    The key of a sample is a `SampleKey`, so a sample needs no state.

    Args:
        videos: each at least `config.layout.min_frames` long.
        config: what a tuple is.
        seed: the run's seed.
        num_negatives: how many other videos' numbers go with a sample; 0 for losses that need none.
        augment_on: "device" leaves the colours, the blur and the pretext operation to `augment_batch`.

    Attributes:
        resident_shapes: height and width of each video's frames, once the device holds all of them. Samples then have
            no pixels: `ResidentFrames.add_clips` adds them.
        with_classes: whether samples have a `class_id`.
        mixup: samples of single clips are mixed with shares of Beta(mixup, mixup), which `mix_batch` does; 0 for none.
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
        self.resident_shapes: Sequence[tuple[int, int]] = ()
        self.with_classes = False
        self.mixup = 0.0

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def clip_size(self) -> int:
        """Height and width of the clips."""
        return self.config.layout.clip.size

    def plan(self, key: SampleKey) -> SamplePlan:
        """Returns what the sample is made of."""
        return plan_sample(
            self.config.layout,
            self.config.pretext,
            augment=self.config.augment,
            seed=self.seed,
            key=key,
            num_frames=self.videos.num_frames[key.video],
        )

    def __getitem__(self, key: SampleKey | tuple[int, int]) -> Sample:
        """Plans and reads the sample of one video and epoch.

        It has `clips` uint8 `[N, C, T, H, W]`, `pretext_label`, `index`, `epoch` and `negatives` `[K]`. With
        `augment_on="device"` it also has what `augment_batch` takes.
        """
        key = SampleKey(*key)
        own = self.read(key, self.plan(key))
        if not self.mixup:
            return own
        partner, share = draw_mixing(self.mixup, seed=self.seed, key=key, num_videos=len(self))
        other = SampleKey(key.epoch, partner)
        return pair_samples(own, self.read(other, self.plan(other)), share=share)

    def read(self, key: SampleKey, plan: SamplePlan) -> Sample:
        """Reads the planned sample, with `clips` `[N, C, T, H, W]`."""
        negatives = plan_negatives(seed=self.seed, key=key, num_videos=len(self), num_negatives=self.num_negatives)
        sample: Sample = {
            "pretext_label": plan.pretext.label,
            "index": key.video,
            "epoch": key.epoch,
            "negatives": torch.from_numpy(negatives),
        }
        if self.with_classes:
            class_id = self.videos.records[key.video].class_id
            sample["class_id"] = NO_CLASS if class_id is None else class_id
        cut: Any = {"places": plan.places, "flips": plan.flips, "size": self.clip_size}
        if self.resident_shapes:
            located = locate_clips(plan.clips, shape=self.resident_shapes[key.video], **cut)
            return {**sample, **stack_maps(plan.augments), **located, "pretext_argument": plan.pretext.argument}
        cut["resizing"] = self.config.layout.clip.resizing
        clips = self.videos.read_clips(key.video, plan.clips, short_side=self.config.short_side, **cut)
        if self.augment_on == "device":
            maps = stack_maps(plan.augments)
            return {**sample, **maps, "clips": torch.stack(clips), "pretext_argument": plan.pretext.argument}
        return {**sample, "clips": self.config.pretext.apply(augment_each(clips, plan.augments), plan.pretext)}


def augment_batch(batch: Batch, *, pretext: Pretext | None) -> Batch:
    """Augments a batch and applies the pretext operation.

    This is done on the batch's device. It is what a dataset with `augment_on="device"` leaves to do. The draws and the
    operations are those of the workers, so the clips are the same up to the rounding of the device. On a GPU nothing
    waits for the device, unless the pretext has no `apply_batch` of its own.

    Args:
        batch: `clips` uint8 `[B, N, C, T, H, W]`, `color` `[B, N, 3, 6]` and `blur_sigma` `[B, N]`; for a pretext also
            `pretext_label` `[B]` and `pretext_argument` `[B]`.
        pretext: is applied to the tuples; None for labelled clips.

    Returns:
        The batch without `color`, `blur_sigma` and `pretext_argument`.
    """
    rest = batch.copy()
    clips, color, blur_sigma = rest["clips"], rest.pop("color"), rest.pop("blur_sigma")
    augmented = augment_clips(*(part.flatten(0, 1) for part in (clips, color, blur_sigma))).view_as(clips)
    if pretext is not None:
        labels, arguments = rest["pretext_label"], rest.pop("pretext_argument")
        augmented = pretext.apply_batch(augmented, labels=labels, arguments=arguments)
    return {**rest, "clips": augmented}


class FixedTuples(Dataset):
    """The evaluation tuples of every video, `num_slots` each, the same in every epoch and run."""

    def __init__(self, videos: VideoList, config: TupleConfig, *, num_slots: int) -> None:
        self.videos = videos
        self.config = config
        self.num_slots = num_slots

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Reads all tuples of one video. They have `clips` uint8 `[S, N, C, T, H, W]` and `pretext_label` `[S]`."""
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
        clips = self.videos.read_clips(
            index,
            [clip for plan in plans for clip in plan.clips],
            places=[place for plan in plans for place in plan.places],
            short_side=self.config.short_side,
            size=self.config.layout.clip.size,
            resizing=self.config.layout.clip.resizing,
        )
        tuples = torch.stack(clips).unflatten(0, (self.num_slots, -1))
        tuples = torch.stack(
            [self.config.pretext.apply(one, plan.pretext) for one, plan in zip(tuples, plans, strict=True)]
        )
        return {"clips": tuples, "pretext_label": torch.tensor([plan.pretext.label for plan in plans])}


class UniformClips(Dataset):
    """Clips spread evenly over every video, as retrieval and classification take them.

    Args:
        videos: of any length; one shorter than a clip is looped.
        clip: what a clip is.
        num_clips: clips per video.
        short_side: pixels to which a frame's shorter side is resized before the crop.
        num_crops: crops per clip, spread along the longer side; 1 is the centre crop.
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
        """Reads the clips of one video, `clips` uint8 `[S, C, T, H, W]`, and `class_id`.

        A clip's crops come one after the other.
        """
        frames = plan_uniform_clips(self.clip, self.num_clips, num_frames=self.videos.num_frames[index])
        clips = self.videos.read_views(
            index,
            frames,
            num_crops=self.num_crops,
            short_side=self.short_side,
            size=self.clip.size,
            resizing=self.clip.resizing,
            center=self.clip.center,
        )
        return {"clips": torch.stack(clips), "class_id": self.videos.records[index].class_id}
