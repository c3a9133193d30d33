"""What the settings of proxies cost and give: size, likeness, and the time to read the frames of a training sample.

    python benchmarks/proxy_settings.py --root /data/ucf101-mini [--videos 16]

Every line is one setting of `kdvideo data prepare`: encoding speed (frames a second on one core), size relative to the
source, peak signal to noise ratio against the source's frames resized as training does it, and the median milliseconds
to read the 48 frames of a planned tuple (3 clips of 16 frames, 8 between them, anywhere in the video) with the reader
that the file was found right for and with PyAV. The first line is the source itself. The last line is one JSON object:
how many times as fast the default proxies are as the sources, with the best reader of each and with PyAV for both.
"""

import argparse
import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch.nn.functional import mse_loss
from torchvision.transforms.v2 import functional as F

from kdvideo.data.datasets.records import find_videos
from kdvideo.data.proxies.transcode import ProxyConfig, write_proxy
from kdvideo.data.readers.decode import Reader, read_frames
from kdvideo.data.readers.probe import VideoProbe, probe

SETTINGS = [ProxyConfig(gop=gop, crf=crf) for gop, crf in ((12, 20), (1, 20), (4, 20), (30, 20), (12, 17), (12, 23))]
CLIP, INTERVAL, ROUNDS = 16, 8, 3
SPAN = 3 * CLIP + 2 * INTERVAL


def planned_frames(num_frames: int, draws: random.Random) -> list[int]:
    """The frames of a tuple at a drawn place; of a shorter video, as many as there are."""
    start = draws.randrange(max(1, num_frames - SPAN + 1))
    offsets = [clip * (CLIP + INTERVAL) + frame for clip in range(3) for frame in range(CLIP)]
    return [start + offset for offset in offsets if start + offset < num_frames]


def read_seconds(files: Sequence[tuple[Path, VideoProbe]], reader: Reader | None) -> float:
    """Median over the videos and rounds; None takes each file's own reader."""
    draws = random.Random(0)
    seconds = []
    for _ in range(ROUNDS):
        for path, found in files:
            frames = planned_frames(found.frames, draws)
            started = time.perf_counter()
            read_frames(path, frames, reader=reader or found.reader)
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def likeness(source: Path, proxy: Path, found: VideoProbe) -> float:
    """Peak signal to noise ratio in dB over every 20th frame."""
    frames = range(0, found.frames, 20)
    expected = F.resize(read_frames(source, frames), [found.height, found.width], antialias=True)
    return 10 * math.log10(255**2 / mse_loss(read_frames(proxy, frames).float(), expected.float()).item())


def measure(sources: Sequence[Path], folder: Path, config: ProxyConfig) -> tuple[float, float]:
    """Prints a setting's line and returns its two reading times."""
    proxies, num_frames, seconds = [], 0, 0.0
    for i, source in enumerate(sources):
        proxy = folder / f"{i}.mp4"
        started = time.perf_counter()
        found = write_proxy(source, proxy, config)
        seconds += time.perf_counter() - started
        num_frames += found.frames
        proxies.append((proxy, found))
    size = sum(path.stat().st_size for path, _ in proxies) / sum(path.stat().st_size for path in sources)
    ratios = [likeness(source, *proxy) for source, proxy in zip(sources, proxies, strict=True)]
    best, pyav = read_seconds(proxies, None), read_seconds(proxies, "pyav")
    print(
        f"{config.short_side:10} {config.gop:4} {config.crf:4} {num_frames / seconds:9.0f} {size:6.2f} "
        f"{statistics.mean(ratios):6.1f} {1e3 * best:8.2f} {1e3 * pyav:8.2f}",
        flush=True,
    )
    return best, pyav


def main() -> None:
    """Prints the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a folder of videos")
    parser.add_argument("--videos", type=int, default=16, help="how many of them, evenly spread (default %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = find_videos(options.root)
    sources = [options.root / name for name in names[:: max(1, len(names) // options.videos)]][: options.videos]
    probed = [(source, probe(source)) for source in sources]
    best, pyav = read_seconds(probed, None), read_seconds(probed, "pyav")
    print("short_side  gop  crf  frames/s   size   PSNR  best/ms  PyAV/ms")
    print(f"{'source':20} {'':9} {1:6.2f} {'':6} {1e3 * best:8.2f} {1e3 * pyav:8.2f}")
    with tempfile.TemporaryDirectory() as folder:
        times = [measure(sources, Path(folder), config) for config in SETTINGS]
    ratios = {"proxy_vs_source": best / times[0][0], "proxy_vs_source_pyav": pyav / times[0][1]}
    print(json.dumps({**{name: round(value, 2) for name, value in ratios.items()}, "default": asdict(SETTINGS[0])}))


if __name__ == "__main__":
    main()
