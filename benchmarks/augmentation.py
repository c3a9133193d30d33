"""How fast our augmentation is beside torchvision's, and how far from it the pictures are.

    python benchmarks/augmentation.py --root ../shared/data/ucf101-mini

Drawn plans on clips of real videos, 16 frames of 112 x 112; one thread. Both do what the same plan says: we with one
linear map and a banded blur (`kdvideo/data/augment/color.py`, `blur.py`), torchvision v2 with one function per
operation, rounded and clipped after each. Distances are of 255. The last line is one JSON object.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from kdvideo.data.augment.plan import (
    AugmentConfig,
    AugmentPlan,
    augment_each,
    draw_augment,
)
from kdvideo.data.draws import Draws
from kdvideo.data.readers.decode import read_frames
from kdvideo.data.resize import CENTER, crop_clip

SIZE = 112


def augment_with_torchvision(clip: Tensor, plan: AugmentPlan) -> Tensor:
    """The plan's colours and blur on `[C, T, H, W]`."""
    frames = clip.transpose(0, 1).contiguous()
    for operation, amount in plan.jitter:
        frames = getattr(F, f"adjust_{operation}")(frames, amount)
    if plan.grayscale:
        frames = F.rgb_to_grayscale(frames, num_output_channels=3)
    if plan.blur_sigma:
        frames = F.gaussian_blur(frames, [11, 11], [plan.blur_sigma] * 2)
    return frames.transpose(0, 1)


def without_hue(plan: AugmentPlan) -> AugmentPlan:
    """The plan with its hue left as it is."""
    return replace(plan, jitter=tuple((name, amount) for name, amount in plan.jitter if name != "hue"))


def only(plan: AugmentPlan, operation: str) -> AugmentPlan:
    """One operation of the plan's jitter."""
    return replace(
        plan, jitter=tuple(one for one in plan.jitter if one[0] == operation), grayscale=False, blur_sigma=0.0
    )


def distance(clips: list[Tensor], plans: list[AugmentPlan]) -> dict[str, float]:
    """Mean and greatest absolute difference, and for comparison how far torchvision's result is from the original."""
    differences, moved = [], []
    for clip, plan in zip(clips, plans, strict=True):
        theirs = augment_with_torchvision(clip, plan).float()
        differences.append((augment_each([clip], [plan])[0] - theirs).abs())
        moved.append((clip - theirs).abs().mean().item())
    mean = statistics.mean(one.mean().item() for one in differences)
    greatest = max(one.max().item() for one in differences)
    return {"mean": round(mean, 2), "max": greatest, "moved_by": round(statistics.mean(moved), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="a folder of Class/video.avi")
    parser.add_argument("--clips", type=int, default=48)
    options = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(options.root.glob("*/*.avi"))
    files = files[:: max(1, len(files) // options.clips)][: options.clips]
    frames = [F.resize(read_frames(path, range(16)), [128], antialias=True) for path in files]
    clips = [crop_clip(one, CENTER, size=SIZE).contiguous() for one in frames]
    plans = [draw_augment(Draws(0, "sample", index=i), AugmentConfig()) for i in range(len(clips))]
    functions = {"ours": lambda clip, plan: augment_each([clip], [plan])[0], "torchvision": augment_with_torchvision}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(5):
        for clip, plan in zip(clips, plans, strict=True):
            for name, function in functions.items():
                started = time.process_time()  # one thread: the wall time of a quiet machine
                function(clip, plan)
                times[name].append(1e3 * (time.process_time() - started))
    milliseconds = {name: round(statistics.mean(values), 2) for name, values in times.items()}
    kinds = {
        "whole": plans,
        "without_hue": [without_hue(plan) for plan in plans],
        **{
            operation: [only(plan, operation) for plan in plans]
            for operation in ("brightness", "contrast", "saturation", "hue")
        },
    }
    distances = {name: distance(clips, kind) for name, kind in kinds.items()}
    for name, found in distances.items():
        print(f"{name:12} {found}")
    ratio = round(milliseconds["torchvision"] / milliseconds["ours"], 2)
    print(json.dumps({"clips": len(clips), "ms_a_clip": milliseconds, "faster": ratio, "distance": distances}))


if __name__ == "__main__":
    main()
