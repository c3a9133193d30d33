"""Mixup: a sample's clip is blended with that of another video, for student and teacher alike (arXiv 1710.09412).

Partner and share are functions of (seed, epoch, index), as all else of a sample: no worker, rank, batch size or part of
a batch decides about them. So a resumed run, two ranks and a store of a teacher's answers see the same mixed clips. A
partner from the same batch would cost no reading, but would depend on all of these.
"""

from typing import Any, cast

import torch
from torch import Tensor

from kdvideo.data.batch import Batch, Sample, SampleKey
from kdvideo.data.draws import Draws

__all__ = ["draw_mixing", "mix_batch", "pair_samples"]

# Keys of a sample that have a value for each clip: before they are mixed, the partner's stand behind its own.
_OF_CLIPS = ("clips", "color", "blur_sigma", "frames", "corner", "flip")
_OF_TEACHERS = "teacher_clips"  # ends the names of what each teacher has of its own


def draw_mixing(alpha: float, *, seed: int, key: SampleKey, num_videos: int) -> tuple[int, float]:
    """Draws what a sample is mixed with.

    Args:
        alpha: the share is distributed as Beta(alpha, alpha), in (0, 1]. With 1, all shares are equally likely.
        seed: the run's seed.
        key: which sample.
        num_videos: number of training videos, of which any other is equally likely.

    Returns:
        The partner's number, and the share of the sample's own clip.
    """
    draws = Draws(seed, "mixup", epoch=key.epoch, index=key.video)
    partner = (key.video + 1 + draws.integer(max(num_videos - 1, 1))) % num_videos
    while True:  # Joehnk (1964); at least half of the pairs are taken
        own, other = (draws.uniform() ** (1 / alpha) for _ in range(2))
        if 0 < own + other <= 1:
            return partner, own / (own + other)


def pair_samples(own: Sample, other: Sample, *, share: float) -> Sample:
    """Returns a sample whose clips are followed by its partner's. `mix_batch` blends them.

    Args:
        own: the sample.
        other: the partner's sample of the same epoch.
        share: the share of the sample's own clips.
    """
    first, second = cast("dict[str, Any]", own), cast("dict[str, Any]", other)
    names = [name for name in first if name in _OF_CLIPS or name.endswith(_OF_TEACHERS)]
    both = {name: torch.cat([first[name], second[name]]) for name in names}
    labels = {"partner_class": second["class_id"]} if "class_id" in second else {}
    return cast("Sample", {**first, **both, **labels, "partner": second["index"], "share": share})


def mix_batch(batch: Batch) -> Batch:
    """Returns a batch whose augmented clips are blended with their partners', rounded to whole numbers.

    Args:
        batch: `clips` and, if there are any, `teacher_clips`, uint8 `[B, 2 * N, C, T, H, W]`, the partner's behind the
            sample's own; `share` `[B]`, and `partner` `[B]`.

    Returns:
        The batch with `[B, N, C, T, H, W]` of both, without `partner`. Labelled clips keep `share` and `partner_class`.
    """
    mixed: dict[str, Any] = {**batch}
    mixed.pop("partner")
    share = mixed["share"].float()
    for name in mixed:
        if name == "clips" or name.endswith(_OF_TEACHERS):
            mixed[name] = _blend(mixed[name], share)
    if "partner_class" not in mixed:
        mixed.pop("share")
    return cast("Batch", mixed)


def _blend(clips: Tensor, share: Tensor) -> Tensor:
    own, other = clips.float().chunk(2, dim=1)
    return torch.lerp(other, own, share.view(-1, *[1] * (clips.dim() - 1))).round().to(torch.uint8)
