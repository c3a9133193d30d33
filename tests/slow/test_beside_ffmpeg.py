"""Every real and odd file beside what ffmpeg's command line makes of it: number of frames, and pixels.

ffmpeg is Debian's and PyAV carries a newer FFmpeg; where the two differ, the reason stands below.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kdvideo.data.checking.isolation import Failure, run_isolated
from kdvideo.data.readers.decode import read_frames
from kdvideo.data.readers.probe import probe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg is not installed"),
]
QUIET = ["ffmpeg", "-nostdin", "-v", "error"]
# A file of sound with a cover: ffmpeg shows the cover, a dataset has no use for it.
NO_VIDEO = {"audio_cover.mp4"}
# Files whose pixels may differ, and by how much in the mean over a picture:
MEAN_DIFFERENCE = {
    # What stands in for lost parts of a picture is what the decoder's memory held: ffmpeg itself shows the second file
    # in other pixels from run to run. 0.3 to 0.7 was seen.
    "decord__corrupted.mp4": 5.0,
    "mp4parse__no_timescale.mp4": 5.0,
    # Of colours of more than 8 bits and of odd sizes, FFmpeg 5 and 8 make other RGB values at the edges of colours.
    "exoplayer__roadtrip-vp92-10bit.webm": 0.3,
    "exoplayer__dolbyVision-hdr.MOV": 0.3,
    "exoplayer__bear-vp9-odd-dimensions.webm": 0.5,
    "torchcodec__h264_10bits.mp4": 4.0,
    "torchcodec__h265_10bits.mp4": 4.0,
    # The decoder of MPEG-4 part 2 may round its inverse DCT in its own way.
    "exoplayer__sample.avi": 0.01,
}


def files_of(real_data: Path) -> list[Path]:
    """All odd files and all single samples of datasets."""
    folders = (real_data / "weird", real_data / "field", real_data / "format-samples")
    found = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in found if path.suffix not in (".md", ".txt", ".csv") and "README" not in path.name]


def count_with_ffmpeg(path: Path) -> int:
    """How many frames ffmpeg writes, none doubled or dropped to keep a rate."""
    command = [*QUIET, "-i", str(path), "-an", "-sn", "-dn", "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    lines = subprocess.run(command, capture_output=True).stdout.decode(errors="replace").splitlines()
    return sum(line.startswith("0,") for line in lines)


def frames_of_ffmpeg(path: Path, indices: list[int]) -> np.ndarray:
    """The bytes of some frames, RGB, upright, one after the other."""
    chosen = "+".join(f"eq(n\\,{i})" for i in indices)
    output = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    command = [*QUIET, "-i", str(path), "-an", "-sn", "-dn", "-vf", f"select={chosen}", *output]
    return np.frombuffer(subprocess.run(command, capture_output=True).stdout, np.uint8)


def compare(path: Path) -> str:
    """What differs, or "" where nothing does."""
    found = probe(path)
    theirs = 0 if path.name in NO_VIDEO else count_with_ffmpeg(path)
    if found.frames != theirs:
        return f"{found.frames} frames, ffmpeg {theirs}"
    if not found.frames:
        return ""
    indices = sorted({0, found.frames // 2, found.frames - 1})
    ours = read_frames(path, indices, reader=found.reader).permute(0, 2, 3, 1).numpy()
    pixels = frames_of_ffmpeg(path, indices)
    if pixels.size != ours.size:
        return f"{ours.shape}, ffmpeg {pixels.size} bytes"
    difference = np.abs(ours.astype(np.int16) - pixels.reshape(ours.shape)).mean(axis=(1, 2, 3)).max()
    return f"pixels differ by {difference}" if difference > MEAN_DIFFERENCE.get(path.name, 0) else ""


@pytest.mark.timeout(1200)
def test_all_files(real_data: Path):
    """As many frames as ffmpeg, and the first, middle and last picture of each the same."""
    files = files_of(real_data)
    results = dict(run_isolated(compare, files, num_workers=2, time_limit=300))
    outcomes = {p.name: r.reason if isinstance(r, Failure) else r for p, r in results.items()}
    print(f"{len(files)} files beside ffmpeg: {sum(not outcome for outcome in outcomes.values())} alike")
    assert {name: outcome for name, outcome in outcomes.items() if outcome} == {}
    assert len(files) >= 100
