"""Samples a second of one core before collation: from cached frames, from proxies, and if a device holds the frames.

    python benchmarks/frame_cache.py --root ../shared/data/ucf101-mini

It makes proxies of some videos and caches their frames, all in a temporary folder. Then it reads the same training
samples of 3 clips of 16 x 112 x 112 in turn: from the proxies and from the cache, with the augmentation left to the
device and done by the worker; and with the pixels left to the device, too, so that a sample only says where they are.
At last the device fetches and augments batches of 16 such samples. The last line is JSON.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import default_collate

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.cache.fill import cache_frames
from kdvideo.data.cache.frames import map_frames
from kdvideo.data.cache.resident import ResidentFrames
from kdvideo.data.checking.isolation import available_cores
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.proxies.transcode import write_proxy
from kdvideo.data.samples import TrainTuples, TupleConfig, augment_batch
from kdvideo.data.videos import VideoList, keep_long_enough
from kdvideo.engine.memory import keep_freed_memory

CONFIG = TupleConfig(TupleLayout(ClipSpec(), tuple_len=3, interval=8), VCP(), AugmentConfig(), short_side=128)
BATCH = 16
PLACES = ("device", "worker")  # where colours, blur and pretext operation are done


def make_proxies(root: Path, folder: Path, count: int) -> VideoList:
    """Proxies of `count` videos, spread over the classes."""
    paths = sorted(root.glob("*/*.avi"))
    chosen = paths[:: max(len(paths) // count, 1)][:count]
    records = [VideoRecord(folder / f"{path.name}.mp4", f"{path.name}.mp4", 0) for path in chosen]
    probes = [write_proxy(path, record.path) for path, record in zip(chosen, records, strict=True)]
    sizes = [(one.height, one.width) for one in probes]
    return VideoList(records, [one.frames for one in probes], [one.reader for one in probes], sizes=sizes)


def read_all(dataset: TrainTuples, *, epoch: int) -> float:
    """Reads each video's sample of an epoch; samples a second of this process's own time."""
    started = time.process_time()
    for index in range(len(dataset)):
        dataset[(epoch, index)]
    return len(dataset) / (time.process_time() - started)


def measure(sources: dict[str, VideoList], *, rounds: int) -> dict[str, list[float]]:
    """Samples a second in each round. A round reads an epoch of its own from each source in turn."""
    datasets = {
        f"{name}_{place}": TrainTuples(videos, CONFIG, seed=0, num_negatives=1024, augment_on=place)
        for name, videos in sources.items()
        for place in PLACES
    }
    planned = TrainTuples(sources["cache"], CONFIG, seed=0, num_negatives=1024, augment_on="device")
    planned.resident_shapes = [frames.shape[-2:] for frames in frames_of(sources["cache"])]
    datasets["resident_device"] = planned
    for dataset in datasets.values():  # the files are in memory, and mapped, from here on
        read_all(dataset, epoch=0)
    rates: dict[str, list[float]] = {name: [] for name in datasets}
    for epoch in range(1, rounds + 1):
        for name, dataset in datasets.items():
            rates[name].append(read_all(dataset, epoch=epoch))
    return rates


def frames_of(videos: VideoList) -> list[Tensor]:
    """The cached frames of all videos, mapped."""
    mapped = [map_frames(one.path) for one in videos.cached if one]
    return [frames for frames in mapped if frames is not None]


def fetch_batches(videos: VideoList, device: torch.device, *, rounds: int) -> dict[str, dict[str, float]]:
    """Tuples a second that the device fetches and augments, batches of 16, in each round of 10."""
    frames = frames_of(videos)
    num_bytes = sum(one.numel() for one in frames)
    resident = ResidentFrames(frames, num_bytes=num_bytes, size=CONFIG.layout.clip.size, device=device)
    dataset = TrainTuples(videos, CONFIG, seed=0, num_negatives=1024, augment_on="device")
    dataset.resident_shapes = resident.shapes
    batch = default_collate([dataset[(0, i % len(dataset))] for i in range(BATCH)])
    batch = {name: value.to(device) for name, value in batch.items()}
    steps = {
        "fetch": resident.add_clips,
        "fetch_and_augment": lambda batch: augment_batch(resident.add_clips(batch), pretext=CONFIG.pretext),
    }
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(rounds + 1):  # the first one warms up
        for name, step in steps.items():
            wait_for(device)
            started = time.perf_counter()
            for _ in range(10):
                step(batch)
            wait_for(device)
            if round_number > 0:
                rates[name].append(10 * BATCH / (time.perf_counter() - started))
    return {name: summarise(values) for name, values in rates.items()}


def wait_for(device: torch.device) -> None:
    """Waits until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def paired(rates: dict[str, list[float]], place: str) -> list[float]:
    """How many times as many samples the cache gives, in each round."""
    pairs = zip(rates[f"cache_{place}"], rates[f"proxy_{place}"], strict=True)
    return [cached / proxy for cached, proxy in pairs]


def summarise(values: Sequence[float]) -> dict[str, float]:
    """The median, the least and the most."""
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="a folder of Class/video.avi")
    parser.add_argument("--videos", type=int, default=64, help="a sample of each is read")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default="cpu", help="where frames are held, e.g. cuda")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as a run does
    with tempfile.TemporaryDirectory() as folder:
        proxies = keep_long_enough(make_proxies(options.root, Path(folder), options.videos), CONFIG.layout.min_frames)
        started = time.perf_counter()
        cached = cache_frames(
            proxies, Path(folder, "frames"), short_side=CONFIG.short_side, num_workers=available_cores()
        )
        seconds = time.perf_counter() - started
        size = sum(one.path.stat().st_size for one in cached.cached if one)
        on_device = fetch_batches(cached, options.device, rounds=options.rounds)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        rates = measure({"proxy": proxies, "cache": cached}, rounds=options.rounds)
    result = {
        "samples_per_second": {name: summarise(values) for name, values in rates.items()},
        "cache_vs_proxy": {place: summarise(paired(rates, place)) for place in PLACES},
        "device_tuples_per_second": on_device,
        "device": torch.cuda.get_device_name(options.device) if options.device.type == "cuda" else "cpu",
        "videos": len(proxies),
        "cache_megabytes": round(size / 1e6),
        "seconds_to_fill": round(seconds, 1),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
