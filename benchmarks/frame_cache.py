"""Samples a second of one core before collation: from cached frames, and from proxies.

    python benchmarks/frame_cache.py --root ../shared/data/ucf101-mini

It makes proxies of some videos and caches their frames, all in a temporary folder. Then it reads the same training
samples of 3 clips of 16 x 112 x 112 in turn: from the proxies and from the cache, with the augmentation left to the
device and done by the worker. The last line is JSON.
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

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.cache.fill import cache_frames
from kdvideo.data.checking.isolation import available_cores
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.proxies.transcode import write_proxy
from kdvideo.data.samples import TrainTuples, TupleConfig
from kdvideo.data.videos import VideoList, keep_long_enough
from kdvideo.engine.memory import keep_freed_memory

CONFIG = TupleConfig(TupleLayout(ClipSpec(), tuple_len=3, interval=8), VCP(), AugmentConfig(), short_side=128)
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
    for dataset in datasets.values():  # the files are in memory, and mapped, from here on
        read_all(dataset, epoch=0)
    rates: dict[str, list[float]] = {name: [] for name in datasets}
    for epoch in range(1, rounds + 1):
        for name, dataset in datasets.items():
            rates[name].append(read_all(dataset, epoch=epoch))
    return rates


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
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        rates = measure({"proxy": proxies, "cache": cached}, rounds=options.rounds)
    result = {
        "samples_per_second": {name: summarise(values) for name, values in rates.items()},
        "cache_vs_proxy": {place: summarise(paired(rates, place)) for place in PLACES},
        "videos": len(proxies),
        "cache_megabytes": round(size / 1e6),
        "seconds_to_fill": round(seconds, 1),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
