"""Torch datasets that execute plans: decode the planned frames, crop, do the pretext operation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms.v2 import functional as F

from kdvideo.data.augment import AugmentConfig, AugmentPlan, apply_augment, center_crop_plan
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.decode import read_frames
from kdvideo.data.plan import (
    SamplePlan,
    TupleLayout,
    epoch_order,
    plan_fixed_tuple,
    plan_negatives,
    plan_sample,
    plan_uniform_clips,
)
from kdvideo.data.pretext import ClipFrames, Pretext

__all__ = [
    "EpochSampler",
    "FixedTuples",
    "TrainTuples",
    "TupleConfig",
    "UniformClips",
    "VideoList",
    "create_loader",
    "keep_long_enough",
    "read_clips",
]


@dataclass(frozen=True)
class VideoList:
    """Videos with the number of frames that decoding them gives."""

    records: Sequence[VideoRecord]
    num_frames: Sequence[int]

    def __len__(self) -> int:
        return len(self.records)

    def only(self, records: Sequence[VideoRecord]) -> Self:
        """The part of the list that these records of it make."""
        num_frames = {record.name: count for record, count in zip(self.records, self.num_frames, strict=True)}
        return type(self)(records, [num_frames[record.name] for record in records])


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


def keep_long_enough(videos: VideoList, min_frames: int) -> VideoList:
    """The videos of at least `min_frames` frames.

    Raises:
        ValueError: there is none.
    """
    kept = [i for i, count in enumerate(videos.num_frames) if count >= min_frames]
    if not kept:
        raise ValueError(
            f"all {len(videos)} videos are too short: the longest has {max(videos.num_frames)} frames, a tuple takes "
            f"{min_frames}; lower CLIP.LENGTH, CLIP.FRAME_STRIDE or PRETEXT.TUPLE_LEN"
        )
    return VideoList([videos.records[i] for i in kept], [videos.num_frames[i] for i in kept])


class TrainTuples(Dataset):
    """Training samples; the key of one is (epoch, index), so that a sample needs no state.

    Args:
        videos: each at least `config.layout.min_frames` long.
        config: what a tuple is.
        seed: the run's seed.
        num_negatives: how many other videos' numbers go with a sample; 0 for losses that need none.
    """

    def __init__(self, videos: VideoList, config: TupleConfig, *, seed: int, num_negatives: int) -> None:
        self.videos = videos
        self.config = config
        self.seed = seed
        self.num_negatives = num_negatives

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """`clips` uint8 `[N, C, T, H, W]`, `pretext_label`, `index`, `epoch`, `negatives` `[K]`."""
        epoch, index = key
        config = self.config
        full_key = (self.seed, epoch, index)
        num_frames = self.videos.num_frames[index]
        plan = plan_sample(config.layout, config.pretext, augment=config.augment, key=full_key, num_frames=num_frames)
        negatives = plan_negatives(key=full_key, num_videos=len(self), num_negatives=self.num_negatives)
        return {
            "clips": _execute(plan, self.videos.records[index], config=config),
            "pretext_label": plan.pretext.label,
            "index": index,
            "epoch": epoch,
            "negatives": torch.from_numpy(negatives),
        }


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
        record = self.videos.records[index]
        clips = read_clips(
            record,
            frames,
            augments=[center_crop_plan()] * len(frames),
            short_side=self.config.short_side,
            size=self.config.layout.clip.size,
        )
        tuples = clips.unflatten(0, (self.num_slots, -1))
        tuples = torch.stack(
            [self.config.pretext.apply(one, plan.pretext) for one, plan in zip(tuples, plans, strict=True)]
        )
        return {"clips": tuples, "pretext_label": torch.tensor([plan.pretext.label for plan in plans])}


class UniformClips(Dataset):
    """`num_clips` clips spread evenly over every video, centre crop: what features for retrieval are made of."""

    def __init__(self, videos: VideoList, clip: ClipSpec, *, num_clips: int, short_side: int) -> None:
        self.videos = videos
        self.clip = clip
        self.num_clips = num_clips
        self.short_side = short_side

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`clips` uint8 `[S, C, T, H, W]`, `class_id`."""
        record = self.videos.records[index]
        frames = plan_uniform_clips(self.clip, self.num_clips, num_frames=self.videos.num_frames[index])
        crops = [center_crop_plan()] * len(frames)
        return {
            "clips": read_clips(record, frames, augments=crops, short_side=self.short_side, size=self.clip.size),
            "class_id": record.class_id,
        }


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index) in the epoch's own order. Set `epoch` before iterating."""

    def __init__(self, num_samples: int, *, seed: int) -> None:
        self.num_samples = num_samples
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = epoch_order(seed=self.seed, epoch=self.epoch, num_samples=self.num_samples)
        return iter([(self.epoch, int(index)) for index in order])


def create_loader(
    dataset: Dataset,
    *,
    batch_size: int,
    num_workers: int,
    sampler: EpochSampler | None = None,
) -> DataLoader:
    """A DataLoader whose batches do not depend on `num_workers`; with a sampler, a last smaller batch is dropped."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        drop_last=sampler is not None,
        persistent_workers=sampler is not None and num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _execute(plan: SamplePlan, record: VideoRecord, *, config: TupleConfig) -> Tensor:
    clips = read_clips(
        record, plan.clips, augments=plan.augments, short_side=config.short_side, size=config.layout.clip.size
    )
    return config.pretext.apply(clips, plan.pretext)


def read_clips(
    record: VideoRecord, clips: Sequence[ClipFrames], *, augments: Sequence[AugmentPlan], short_side: int, size: int
) -> Tensor:
    """Decodes each needed frame once, resizes it and cuts the clips: uint8 `[N, C, T, size, size]`."""
    needed = sorted({frame for clip in clips for frame in clip})
    frames = F.resize(read_frames(record.path, needed), [short_side], antialias=True)
    place = {frame: i for i, frame in enumerate(needed)}
    cut = [
        apply_augment(frames[[place[frame] for frame in clip]], augment, size=size)
        for clip, augment in zip(clips, augments, strict=True)
    ]
    return torch.stack(cut).transpose(1, 2)
