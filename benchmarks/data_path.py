"""How long one training sample takes: PyTorchVideo's way, the PIL way, ours from the videos, ours from proxies.

    python benchmarks/data_path.py --root ../shared/data/ucf101-mini

A sample is PCL's tuple: 3 clips of 16 frames, 8 frames between clips, short side 128, crops of 112, SimCLR's colours,
and every case does what the same plans say.

    pytorchvideo  EncodedVideo(decode_audio=False) with pyav, opened once, one get_clip over the span, torchvision v2
    pil           PyAV in sequence up to the last planned frame, each planned frame through PIL, as PCL's own code
    source        kdvideo, from the videos
    proxy         kdvideo, from what `kdvideo data prepare` writes; `proxy_pyav` the same without torchcodec

One core: the cases take turns, each in a process of its own; the median over samples and rounds counts. Ours runs with
the allocator's setting that our trainer makes (`engine/memory.py`), the others as their users have them. Two workers: a
DataLoader's wall time a sample. The last line is one JSON object of ratios, above 1 where the first named is faster.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import torch
from augmentation import augment_with_torchvision
from PIL import Image, ImageFilter
from pytorchvideo.data.encoded_video import EncodedVideo
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import functional as pil_functional
from torchvision.transforms.v2 import functional as F

from kdvideo.data.augment.plan import AugmentConfig, AugmentPlan
from kdvideo.data.batch import SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets.records import VideoRecord
from kdvideo.data.plan import SamplePlan, TupleLayout, plan_sample
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.proxies.transcode import write_proxy
from kdvideo.data.readers.probe import VideoProbe, probe
from kdvideo.data.resize import crop_clip, crop_corner
from kdvideo.data.samples import TrainTuples, TupleConfig
from kdvideo.data.videos import VideoList
from kdvideo.engine.memory import keep_freed_memory

SHORT_SIDE = 128
CONFIG = TupleConfig(TupleLayout(ClipSpec(), tuple_len=3, interval=8), VCP(), AugmentConfig(), short_side=SHORT_SIDE)
REMOTE = 4  # VCP's label with a clip far away: left out, so that every sample spans 64 frames
OURS = ("source", "source_pyav", "proxy", "proxy_pyav")
Case = Callable[[int], Tensor]


def read_with_pytorchvideo(path: Path, plan: SamplePlan, *, fps: float) -> Tensor:
    """One get_clip over the span, then torchvision's operations on uint8 clips."""
    first, last = plan.clips[0][0], plan.clips[-1][-1]
    video = EncodedVideo.from_path(str(path), decode_audio=False, decoder="pyav")
    span = video.get_clip(first / fps, (last + 0.999) / fps)["video"]
    video.close()
    frames = [min(frame - first, span.shape[1] - 1) for clip in plan.clips for frame in clip]
    small = F.resize(span[:, frames].transpose(0, 1).to(torch.uint8), [SHORT_SIDE], antialias=True)
    clips = small.split(len(plan.clips[0]))
    crops = [
        crop_clip(clip, one.crop, size=CONFIG.layout.clip.size, flip=one.flip)
        for clip, one in zip(clips, plan.augments, strict=True)
    ]
    return torch.stack([augment_with_torchvision(*pair) for pair in zip(crops, plan.augments, strict=True)])


def read_with_pil(path: Path, plan: SamplePlan, *, config: TupleConfig = CONFIG) -> Tensor:
    """Sequential decoding, then one picture at a time; `[frames, C, S, S]` in the plan's order."""
    augments = {frame: augment for clip, augment in zip(plan.clips, plan.augments, strict=True) for frame in clip}
    last = max(augments)
    pictures = {}
    with av.open(str(path), metadata_errors="ignore") as container:
        container.streams.video[0].thread_type = "NONE"
        for i, frame in enumerate(container.decode(video=0)):
            if i in augments:
                pictures[i] = np.asarray(augment_with_pil(frame.to_image(), augments[i], config=config))
            if i == last:
                break
    in_order = [pictures[frame] for clip in plan.clips for frame in clip]
    return torch.from_numpy(np.stack(in_order)).permute(0, 3, 1, 2).contiguous()


def augment_with_pil(image: Image.Image, plan: AugmentPlan, *, config: TupleConfig) -> Image.Image:
    """The plan with PIL, as PCL's official code does it."""
    size = config.layout.clip.size
    image = pil_functional.resize(image, config.short_side)
    left, top = crop_corner(plan.crop[::-1], image.size, size=size)
    image = image.crop((left, top, left + size, top + size))
    if plan.flip:
        image = pil_functional.hflip(image)
    for operation, amount in plan.jitter:
        image = getattr(pil_functional, f"adjust_{operation}")(image, amount)
    if plan.grayscale:
        image = pil_functional.to_grayscale(image, num_output_channels=3)
    return image if not plan.blur_sigma else image.filter(ImageFilter.GaussianBlur(plan.blur_sigma))


def choose_videos(root: Path, count: int) -> list[tuple[Path, VideoProbe]]:
    """Videos with room for a whole tuple, spread over the dataset."""
    files = sorted(root.glob("*/*.avi"))
    if not files:
        raise SystemExit(f"--root {root} holds no Class/video.avi")
    probes = [(path, probe(path)) for path in files[:: max(1, len(files) // (2 * count))]]
    layout = CONFIG.layout
    return [(path, found) for path, found in probes if found.frames >= layout.span(layout.interval)][:count]


def choose_epoch(index: int, num_frames: int) -> int:
    """The first epoch in which the video's tuple has no clip elsewhere."""
    return next(epoch for epoch in range(100) if plan_of(epoch, index, num_frames).pretext.label != REMOTE)


def plan_of(epoch: int, index: int, num_frames: int) -> SamplePlan:
    """What `TrainTuples` plans."""
    return plan_sample(
        CONFIG.layout,
        CONFIG.pretext,
        augment=CONFIG.augment,
        seed=0,
        key=SampleKey(epoch, index),
        num_frames=num_frames,
    )


def build_cases(videos: list[tuple[Path, VideoProbe]], proxies: list[tuple[Path, VideoProbe]]) -> dict[str, Case]:
    """What reads sample i, by name."""
    epochs = [choose_epoch(i, found.frames) for i, (_, found) in enumerate(videos)]
    plans = [plan_of(epoch, i, videos[i][1].frames) for i, epoch in enumerate(epochs)]

    def ours(listed: list[tuple[Path, VideoProbe]]) -> Case:
        records = [VideoRecord(path, path.name, 0) for path, _ in listed]
        found = [found for _, found in listed]
        dataset = TrainTuples(
            VideoList(records, [one.frames for one in found], [one.reader for one in found]),
            CONFIG,
            seed=0,
            num_negatives=0,
        )
        return lambda i: dataset[(epochs[i], i)]["clips"]

    without_torchcodec = [
        (path, replace(found, reader="pyav") if found.reader == "torchcodec" else found) for path, found in proxies
    ]
    return {
        "pytorchvideo": lambda i: read_with_pytorchvideo(videos[i][0], plans[i], fps=videos[i][1].fps),
        "pil": lambda i: read_with_pil(videos[i][0], plans[i]),
        "source": ours(videos),
        "source_pyav": ours([(path, replace(found, reader="pyav")) for path, found in videos]),
        "proxy": ours(proxies),
        "proxy_pyav": ours(without_torchcodec),
    }


def time_in_turn(cases: dict[str, Case], num_samples: int, *, rounds: int) -> dict[str, float]:
    """Median milliseconds of a sample on one core, every case in a process of its own, which lives for all rounds."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    context = multiprocessing.get_context("fork")
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(context.Pool(1, initializer=_prepare, initargs=(name, case, num_samples)))
            for name, case in cases.items()
        }
        for _ in range(rounds):
            for name, pool in pools.items():
                times[name] += pool.apply(_time_samples)
    return {name: statistics.median(values) for name, values in times.items()}


def _prepare(name: str, case: Case, num_samples: int) -> None:
    global _job
    _job = case, num_samples
    if name in OURS:
        keep_freed_memory()  # as our trainer does; the others get what their users get


def _time_samples() -> list[float]:
    """The process's own time, which on one core is the wall time of a quiet machine."""
    case, num_samples = _job
    case(0)  # warms up
    times = []
    for i in range(num_samples):
        started = time.process_time()
        case(i)
        times.append(1e3 * (time.process_time() - started))
    return times


def _prepare_worker(_: int) -> None:
    keep_freed_memory()


class _Repeated(Dataset):
    def __init__(self, case: Case, num_samples: int, times: int) -> None:
        self.case, self.num_samples, self.times = case, num_samples, times

    def __len__(self) -> int:
        return self.num_samples * self.times

    def __getitem__(self, i: int) -> Tensor:
        return self.case(i % self.num_samples)


def time_with_workers(cases: dict[str, Case], num_samples: int, *, rounds: int, num_workers: int) -> dict[str, float]:
    """Median over rounds of a loader's wall milliseconds a sample."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    loaders = {
        name: DataLoader(
            _Repeated(case, num_samples, 2),
            batch_size=8,
            num_workers=num_workers,
            persistent_workers=True,
            worker_init_fn=_prepare_worker if name in OURS else None,
        )
        for name, case in cases.items()
    }
    for round_number in range(rounds + 1):  # the first one starts the workers
        for name, loader in loaders.items():
            started = time.perf_counter()
            for _ in loader:
                pass
            if round_number > 0:
                times[name].append(1e3 * (time.perf_counter() - started) / len(loader.dataset))
    return {name: statistics.median(values) for name, values in times.items()}


def ratios(medians: dict[str, float], suffix: str) -> dict[str, float]:
    """How many times faster ours is, with torchcodec where it is right and with PyAV alone."""
    return {
        f"{ours}_vs_{theirs}{suffix}": round(medians[theirs] / medians[ours], 2)
        for ours in OURS
        for theirs in ("pytorchvideo", "pil")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="a folder of Class/video.avi")
    parser.add_argument("--clips", type=int, default=32, help="samples, each of its own video")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    videos = choose_videos(options.root, options.clips)
    with tempfile.TemporaryDirectory() as folder:
        targets = [Path(folder) / f"{path.name}.mp4" for path, _ in videos]
        proxies = [(target, write_proxy(path, target)) for (path, _), target in zip(videos, targets, strict=True)]
        cases = build_cases(videos, proxies)
        os.sched_setaffinity(0, cores[:1])
        one_core = time_in_turn(cases, len(videos), rounds=options.rounds)
        print("one core, ms a sample:", {name: round(value, 1) for name, value in one_core.items()}, flush=True)
        os.sched_setaffinity(0, cores)
        workers = time_with_workers(cases, len(videos), rounds=options.rounds, num_workers=2)
        print("two workers, ms a sample:", {name: round(value, 1) for name, value in workers.items()}, flush=True)
    readers = {
        name: sorted({found.reader for _, found in listed}) for name, listed in (("source", videos), ("proxy", proxies))
    }
    settings = {"clips": len(videos), "rounds": options.rounds, "cores": len(cores), "readers": readers}
    print(json.dumps({**ratios(one_core, ""), **ratios(workers, "_2workers"), **settings}))


if __name__ == "__main__":
    main()
