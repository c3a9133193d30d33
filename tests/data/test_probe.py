"""What a look at a file finds, on generated, odd and real ones."""

import re
from pathlib import Path

import av
import pytest
import torch

from kdvideo.data.readers.decode import count_frames, read_frames
from kdvideo.data.readers.probe import VideoProbe, probe
from kdvideo.data.readers.pyav import Clock
from kdvideo.data.readers.torchcodec import torchcodec_loads

REQUESTS = [[0], [21], [79], [79, 0, 40], range(80), range(1, 80, 7), [0, 1, 2, 60, 61, 62], [33, 33, 32]]


def write_h264(path: Path, *, num_frames: int = 80, pixel_format: str = "yuv420p", b_frames: int = 2) -> Path:
    """H.264 with a keyframe every eight frames."""
    width, height = 64, 48
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "8", "bf": str(b_frames), "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        for i in range(num_frames):
            picture = torch.full((height, width, 3), 2 * i, dtype=torch.uint8)
            picture[:, : i % width] += 30
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")))
        container.mux(stream.encode())
    return path


def test_probe_of_a_generated_video(tiny_dataset: Path):
    """AVI with B-frames: counted, measured, left to PyAV."""
    path = sorted(tiny_dataset.glob("*/*.avi"))[0]
    assert probe(path) == VideoProbe(count_frames(path), 25.0, 80, 60, "mpeg4", "pyav")


@pytest.mark.skipif(not torchcodec_loads(), reason="torchcodec or its FFmpeg libraries are not installed")
@pytest.mark.parametrize("indices", REQUESTS)
def test_torchcodec_is_right_where_the_probe_says_so(tmp_path: Path, indices):
    """H.264 with B-frames in MP4: any request gives what PyAV's sequential decoding gives."""
    path = write_h264(tmp_path / "video.mp4")
    assert probe(path).reader == "torchcodec"
    assert torch.equal(read_frames(path, indices, reader="torchcodec"), read_frames(path, indices))


@pytest.mark.parametrize("indices", REQUESTS)
def test_seeking_with_pyav_is_right_where_the_probe_says_so(tmp_path: Path, indices):
    """Without B-frames PyAV's own seek is chosen, and any request gives what sequential decoding gives."""
    path = write_h264(tmp_path / "video.mp4", b_frames=0)
    assert probe(path).reader == "seek"
    assert torch.equal(read_frames(path, indices, reader="seek"), read_frames(path, indices))


def test_a_seek_decodes_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of 80 frames, the last one needs eight at most, from its key frame on; a wrong clock costs time, not a frame."""
    path = write_h264(tmp_path / "video.mp4", b_frames=0)
    expected = read_frames(path, [79])
    converted: list[int] = []
    index = Clock.index
    monkeypatch.setattr(Clock, "index", lambda self, stamp: converted.append(stamp) or index(self, stamp))
    assert torch.equal(read_frames(path, [79], reader="seek"), expected)
    assert len(converted) <= 8
    monkeypatch.setattr(Clock, "index", lambda self, stamp: None)
    assert torch.equal(read_frames(path, [79], reader="seek"), expected)
    assert probe(path).reader != "seek"


def test_kinds_for_which_seeking_is_not_chosen(tmp_path: Path):
    """AVI has no presentation times, other chroma formats may get other colours; in short videos it gains nothing."""
    assert probe(write_h264(tmp_path / "video.avi")).reader == "pyav"
    assert probe(write_h264(tmp_path / "short.mp4", num_frames=40)).reader == "pyav"
    assert probe(write_h264(tmp_path / "video.mp4", pixel_format="yuv444p")).reader == "pyav"


def test_problems_are_one_line(tmp_path: Path):
    """What is wrong is in the answer, without the file's name, which the caller has."""
    (tmp_path / "text.mp4").write_text("no video\n" * 1000)
    assert probe(tmp_path / "text.mp4") == VideoProbe(
        problem="cannot be opened: Invalid data found when processing input"
    )
    assert probe(tmp_path / "none.mp4") == VideoProbe(problem="does not exist")
    slow = probe(write_h264(tmp_path / "slow.mp4"), time_limit=1e-9)
    assert slow.problem is not None
    assert slow.frames == 0


def test_odd_files_are_read_or_named(real_data: Path):
    """80 broken and odd files: a reason only where no frame comes; tests/slow compares with ffmpeg."""
    found = {path.name: probe(path, time_limit=60) for path in sorted((real_data / "weird").iterdir())}
    problems = [one.problem for one in found.values() if one.problem]
    assert all((one.frames > 0) == (one.problem is None) for one in found.values())
    assert all("\n" not in problem and "weird" not in problem for problem in problems)
    assert {re.sub(r"\d+", "N", problem) for problem in problems} == {
        "cannot be opened: Invalid data found when processing input",
        "gives no frame",
        "gives no frame: N packets cannot be decoded",
        "has no video stream",
    }
    assert len(problems) == 15
    assert {name: one.skipped for name, one in found.items() if one.skipped and one.frames} == {
        "decord__corrupted.mp4": 1,
        "mp4parse__no_timescale.mp4": 12,
    }
