"""How fast our augmentation is beside torchvision's, and how far from it the pictures are.

    python benchmarks/augmentation.py --root ../shared/data/ucf101-mini
    python benchmarks/augmentation.py --device cuda

Drawn plans on clips of real videos, 16 frames of 112 x 112; one thread. Both do what the same plan says: we with one
linear map and a banded blur (`kdvideo/data/augment/color.py`, `blur.py`), torchvision v2 with one function per
operation, rounded and clipped after each. Distances are of 255. The last line is one JSON object.

`--device` measures what a training device does to a batch of 16 tuples of 3 such clips, noise, with each pretext: the
median of 30 calls in ms by the device's clock.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from kdvideo.data.augment.plan import (
    AugmentConfig,
    AugmentPlan,
    augment_each,
    draw_augment,
    stack_maps,
)
from kdvideo.data.batch import Batch
from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.rotnet import RotNet
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.readers.decode import read_frames
from kdvideo.data.resize import CENTER, crop_clip
from kdvideo.data.samples import augment_batch

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


def time_on_device(device: torch.device, *, num_tuples: int = 16) -> dict[str, float]:
    """Median ms of `augment_batch` by pretext; "none" is colours and blur alone."""
    maps = stack_maps([draw_augment(Draws(0, "sample", index=i), AugmentConfig()) for i in range(3 * num_tuples)])
    place = torch.arange(num_tuples, device=device)
    batch: Batch = {
        "clips": torch.randint(0, 256, (num_tuples, 3, 3, 16, SIZE, SIZE), dtype=torch.uint8, device=device),
        "color": maps["color"].unflatten(0, (num_tuples, 3)).to(device),
        "blur_sigma": maps["blur_sigma"].unflatten(0, (num_tuples, 3)).to(device),
    }
    medians = {}
    for name, pretext in {"none": None, "vcp": VCP(), "rotnet": RotNet(), "vcop": VCOP()}.items():
        labels: Batch = {}
        if pretext is not None:
            labels = {"pretext_label": place % pretext.num_classes, "pretext_argument": place // pretext.num_classes}
        call = partial(augment_batch, {**batch, **labels}, pretext=pretext)
        medians[name] = round(statistics.median([time_call(call, device) for _ in range(33)][3:]), 3)
    return medians


def time_call(call: Callable[[], object], device: torch.device) -> float:
    """Milliseconds by CUDA's clock, or by the wall's for a CPU."""
    if device.type != "cuda":
        started = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - started)
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    call()
    after.record()
    after.synchronize()
    return before.elapsed_time(after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--root", type=Path, help="a folder of Class/video.avi")
    where.add_argument("--device", type=torch.device, help="measures this training device instead")
    parser.add_argument("--clips", type=int, default=48)
    options = parser.parse_args()
    if options.device is not None:
        name = torch.cuda.get_device_name(options.device) if options.device.type == "cuda" else "cpu"
        print(json.dumps({"device": name, "torch": torch.__version__, "ms_a_batch": time_on_device(options.device)}))
        return
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
