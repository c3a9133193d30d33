"""A long training must not eat the machine: the memory of a loader and its workers over thousands of samples."""

import itertools
import multiprocessing
import re
from pathlib import Path

import pytest

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.loader import EpochSampler, create_loader
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.readers.probe import probe
from kdvideo.data.samples import TrainTuples, TupleConfig
from kdvideo.data.videos import VideoList, keep_long_enough
from kdvideo.engine.memory import keep_freed_memory

pytestmark = pytest.mark.slow


def resident(process: str) -> float:
    """Megabytes of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc", process, "status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


@pytest.mark.timeout(1200)
def test_memory_after_3000_samples(real_data: Path):
    """Within 5 % of that after 300, this process and its two workers together."""
    keep_freed_memory()  # as a run does
    files = sorted((real_data / "ucf101-mini").glob("*/*.avi"))[::3]
    probes = [probe(path) for path in files]
    records = [VideoRecord(path, path.name, 0) for path in files]
    videos = VideoList(records, [found.frames for found in probes], [found.reader for found in probes])
    layout = TupleLayout(ClipSpec(), tuple_len=3, interval=8)
    config = TupleConfig(layout, VCP(), AugmentConfig(), short_side=128)
    dataset = TrainTuples(keep_long_enough(videos, layout.min_frames), config, seed=0, num_negatives=0)
    sampler = EpochSampler(len(dataset), seed=0, batch_size=10)
    loader = create_loader(dataset, batch_size=10, num_workers=2, sampler=sampler)
    read, sizes = 0, {}
    for sampler.epoch in itertools.count():
        for batch in loader:
            read += len(batch["clips"])
            if read in (300, 3000):
                workers = [str(child.pid) for child in multiprocessing.active_children()]
                sizes[read] = sum(resident(process) for process in ("self", *workers))
        if read >= 3000:
            break
    print({count: f"{size:.0f} MB" for count, size in sizes.items()})
    assert sizes[3000] < 1.05 * sizes[300]
