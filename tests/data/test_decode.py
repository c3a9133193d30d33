"""Frames against PyAV's own sequential decoding, on generated, odd, broken and real files."""

import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from kdvideo.data.readers import pyav, torchcodec
from kdvideo.data.readers.decode import count_frames, read_frames


def decode_all(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def as_thwc(frames: torch.Tensor) -> np.ndarray:
    return frames.permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="session")
def video(tiny_dataset: Path) -> Path:
    """MPEG-4 with B-frames in AVI, as UCF101's."""
    return sorted(tiny_dataset.glob("*/*.avi"))[0]


def write_jpegs(path: Path, *sizes: tuple[int, int]) -> Path:
    """A motion JPEG stream: pictures one after the other, each of its own (width, height)."""
    with path.open("wb") as stream:
        for number, size in enumerate(sizes):
            Image.new("RGB", size, (40 * number, 100, 0)).save(stream, "jpeg")
    return path


def test_read_frames_equals_sequential_decoding(video: Path):
    """Any order, with repetitions, of a file with B-frames."""
    frames = decode_all(video)
    assert count_frames(video) == len(frames)
    indices = [len(frames) - 1, 0, 7, 7, 3]
    assert np.array_equal(as_thwc(read_frames(video, indices)), frames[indices])


def test_real_clips_equal_sequential_decoding(real_data: Path):
    """The same on genuine UCF101 files, which are XviD with B-frames."""
    for path in sorted((real_data / "ucf101-mini").glob("*/*.avi"))[::26]:
        frames = decode_all(path)
        assert count_frames(path) == len(frames)
        indices = [0, len(frames) // 2, len(frames) - 1]
        assert np.array_equal(as_thwc(read_frames(path, indices)), frames[indices])


def test_rotated_phone_videos_stand_upright(real_data: Path):
    """A quarter turn exchanges height and width; the pictures were looked at by hand once."""
    weird = real_data / "weird"
    assert read_frames(weird / "decord__video_0.mov", [0]).shape == (1, 3, 320, 568)
    assert read_frames(weird / "decord__video_90.mov", [0]).shape == (1, 3, 568, 320)


def test_a_nonsensical_rotation_is_ignored(real_data: Path):
    """A broken header asks for a turn by -2147483648 degrees."""
    path = real_data / "weird" / "mp4parse__no_timescale.mp4"
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"  # of damaged pictures, threads make others
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(as_thwc(read_frames(path, [0]))[0], first)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 1000], "ends before frame 1000; it gives 1 of 2 asked for"),
        ([0, -1], "frame -1 of video .* frames are counted from 0"),
    ],
)
def test_frames_that_are_not_there(video: Path, indices: list[int], message: str):
    """A wrong frame number is said, not hidden by other frames."""
    with pytest.raises(ValueError, match=message):
        read_frames(video, indices)


def test_what_cannot_be_a_video(tmp_path: Path):
    """Nothing, folders, pipes, empty files and text end in one line; opening a pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.avi").touch()
    (tmp_path / "text.mp4").write_text("no video\n" * 1000)
    for name, message in {
        "none.avi": "does not exist",
        ".": "is not a file",
        "pipe": "is not a file",
        "empty.avi": "cannot be opened: Invalid data",
        "text.mp4": "cannot be opened: Invalid data",
    }.items():
        for read in (count_frames, lambda path: read_frames(path, [0])):
            with pytest.raises(ValueError, match=message):
                read(tmp_path / name)


def test_a_slow_file_is_given_up(video: Path, monkeypatch: pytest.MonkeyPatch):
    """After the time limit there is an error, no waiting and no half of the frames."""
    with pytest.raises(ValueError, match="takes longer than 1e-09 s to open"):
        count_frames(video, time_limit=1e-9)
    hours = iter(range(10**6))
    monkeypatch.setattr(pyav.time, "monotonic", lambda: 3600 * next(hours))
    with pytest.raises(ValueError, match="takes longer than 7200 s to decode"):
        count_frames(video, time_limit=7200)


def test_a_video_that_changes_its_size(tmp_path: Path):
    """Later pictures are scaled to the first one's size; those of its size stay as they are."""
    path = write_jpegs(tmp_path / "changing.mjpeg", (32, 24), (32, 24), (64, 48))
    assert count_frames(path) == 3
    frames = read_frames(path, [2, 1, 0])
    assert frames.shape == (3, 3, 24, 32)
    assert torch.equal(frames[1:], read_frames(path, [1, 0]))
    # Each picture is of one colour, so scaling leaves it: red is 40 a frame, but for JPEG's and the scaler's rounding.
    assert [round(frame[0].float().mean().item() / 40) for frame in frames] == [2, 1, 0]


def test_without_torchcodec_pyav_reads(video: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """Whatever its import raises, it is said once and PyAV gives the frames."""

    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name.startswith("torchcodec"):
                raise OSError("libavutil.so.59: cannot open shared object file\nand a page of advice")

    monkeypatch.setattr("sys.meta_path", [Broken(), *sys.meta_path])
    for name in [name for name in sys.modules if name.startswith("torchcodec")]:
        monkeypatch.delitem(sys.modules, name)
    torchcodec.torchcodec_loads.cache_clear()
    try:
        with caplog.at_level("INFO", logger="kdvideo"):
            for _ in range(2):
                assert torch.equal(read_frames(video, [3], reader="torchcodec"), read_frames(video, [3]))
    finally:
        torchcodec.torchcodec_loads.cache_clear()
    assert [record.getMessage() for record in caplog.records] == [
        "torchcodec does not load (libavutil.so.59: cannot open shared object file): all videos are read with PyAV"
    ]
