"""Every real file there is, and 500 damaged ones: the right frames or a reason, no crash, no hang."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from av.video.reformatter import VideoReformatter

from kdvideo.data.checking.isolation import Failure, run_isolated
from kdvideo.data.readers.decode import TIME_LIMIT, read_frames
from kdvideo.data.readers.probe import probe
from kdvideo.data.readers.pyav import FrameDecoder, to_rgb

pytestmark = pytest.mark.slow
SECONDS_A_FILE = 10.0
NUM_DAMAGED = 500


def decode_all(path: Path) -> Iterator[torch.Tensor]:
    """What PyAV delivers one after the other, `[C, H, W]`, upright."""
    reformatter = VideoReformatter()
    try:
        for frame in FrameDecoder(path, time_limit=TIME_LIMIT):
            yield torch.from_numpy(to_rgb(frame, reformatter).copy()).permute(2, 0, 1)
    except ValueError:
        return


def requests(num_frames: int) -> dict[str, list[int]]:
    """Indices of each kind of request."""
    last = num_frames - 1
    return {
        "single": [num_frames // 2],
        "spaced": list(range(0, num_frames, 7)),
        "gap": [
            *range(min(16, num_frames)),
            *range(min(num_frames * 2 // 3, last), min(num_frames * 2 // 3 + 16, last)),
        ],
        "tail": list(range(max(0, num_frames - 5), num_frames)),
    }


def compare(path: Path) -> str:
    """The reader that the probe chose, after both readers have been held against sequential decoding."""
    found = probe(path)
    wanted = {0, *(index for indices in requests(found.frames).values() for index in indices)}
    pictures, count = {}, 0
    for picture in decode_all(path):
        if count in wanted:
            pictures[count] = picture
        count += 1
    assert found.frames == count
    assert (found.problem is None) == (count > 0)
    for kind, indices in requests(count).items() if count else ():
        for reader in {"pyav", found.reader}:
            for index, frame in zip(indices, read_frames(path, indices, reader=reader), strict=True):
                # Damaged headers change the size on the way; such pictures are scaled to the first one's.
                assert frame.shape == pictures[0].shape
                same = pictures[index].shape != frame.shape or torch.equal(frame, pictures[index])
                assert same, (path.name, kind, reader, index)
    return found.reader if found.problem is None else found.problem


def compare_all(paths: list[Path], *, time_limit: float) -> Counter[str]:
    results = dict(run_isolated(compare, paths, num_workers=2, time_limit=time_limit))
    failures = {path.name: outcome.reason for path, outcome in results.items() if isinstance(outcome, Failure)}
    assert not failures
    return Counter(str(outcome) for outcome in results.values())


@pytest.mark.timeout(1200)
def test_frames_of_all_datasets_here(real_data: Path):
    """All of ucf101-mini and of the samples of other datasets, each kind of request, both readers."""
    files = [*(real_data / "ucf101-mini").glob("*/*.avi")]
    files += [path for path in (real_data / "format-samples").glob("*/*") if path.suffix in (".avi", ".mp4", ".mkv")]
    readers = compare_all(sorted(files), time_limit=120)
    print(f"{len(files)} files: {dict(readers)}")
    assert set(readers) <= {"pyav", "seek", "torchcodec"}


@pytest.mark.timeout(1200)
def test_frames_of_all_odd_files(real_data: Path):
    """80 odd files: what PyAV decodes is there with the same pixels, the other 15 have a reason."""
    outcomes = compare_all(sorted((real_data / "weird").iterdir()), time_limit=60)
    print(dict(outcomes))
    assert sum(count for outcome, count in outcomes.items() if outcome not in ("pyav", "seek", "torchcodec")) == 15


def test_no_odd_file_takes_long(real_data: Path):
    """Counting the frames, with the proofs for seeking, within ten seconds each."""
    files = sorted((real_data / "weird").iterdir())
    results = dict(run_isolated(probe, files, num_workers=1, time_limit=SECONDS_A_FILE))
    assert not [path.name for path, found in results.items() if isinstance(found, Failure)]


def damage(item: tuple[Path, int, Path]) -> str:
    """Writes a damaged copy and compares its frames: flipped bits anywhere or in the header, or the end cut off."""
    source, seed, folder = item
    draws = random.Random(seed)
    content = bytearray(source.read_bytes())
    kind = seed % 3
    if kind == 0:
        content = content[: draws.randrange(1, len(content))]
    else:
        area = len(content) if kind == 1 else min(4096, len(content))
        for _ in range(draws.choice((1, 10, 100, 1000))):
            content[draws.randrange(area)] ^= 1 << draws.randrange(8)
    path = folder / f"{seed}{source.suffix}"
    path.write_bytes(content)
    try:
        return compare(path)
    finally:
        path.unlink()


@pytest.mark.timeout(1800)
def test_500_damaged_clips(real_data: Path, tmp_path: Path):
    """Bit flips and truncations of real files of all kinds: same frames as PyAV, or a reason; none crashes or hangs."""
    sources = sorted((real_data / "ucf101-mini").glob("*/*.avi"))[::10]
    samples = sorted((real_data / "format-samples").glob("*/*.*"))
    sources += [path for path in samples if path.suffix in (".avi", ".mp4", ".mkv") and path.stat().st_size < 2_000_000]
    items = [(sources[seed % len(sources)], seed, tmp_path) for seed in range(NUM_DAMAGED)]
    results = dict(run_isolated(damage, items, num_workers=2, time_limit=60))
    failures = {seed: outcome.reason for (_, seed, _), outcome in results.items() if isinstance(outcome, Failure)}
    print(len(results), dict(Counter(str(outcome) for outcome in results.values())))
    assert not failures
