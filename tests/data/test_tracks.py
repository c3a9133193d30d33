"""Which of several video tracks is read: the one that ffmpeg's command line takes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from odd_videos import WIDTH, write_covered_sound, write_tracks, write_video

from kdvideo.data.proxies.transcode import write_proxy
from kdvideo.data.readers.decode import count_frames, read_frames
from kdvideo.data.readers.probe import probe

FFMPEG = shutil.which("ffmpeg")
SMALL, LARGE = (32, 32, 10), (WIDTH, 48, 40)


@pytest.mark.parametrize(
    ("tracks", "default", "expected"),
    [
        ([SMALL, LARGE], 2, LARGE),  # none is marked: the larger one
        ([LARGE, SMALL], 2, LARGE),
        ([SMALL, LARGE], 1, LARGE),
        ([LARGE, SMALL], 1, SMALL),  # the mark counts more than any difference in size
        ([(32, 32, 10), (32, 32, 20)], 2, (32, 32, 10)),  # of two alike, the first
    ],
)
def test_the_track_that_ffmpeg_takes(tmp_path: Path, tracks: list[tuple[int, int, int]], default: int, expected: tuple):
    """Count, size, pictures and the proxy are its; ffmpeg itself agrees, where it is installed."""
    path = write_tracks(tmp_path / "v.mkv", tracks, default=default)
    width, height, frames = expected
    found = probe(path)
    assert (found.frames, found.width, found.height) == (frames, width, height)
    assert read_frames(path, [frames - 1]).shape == (1, 3, height, width)
    assert write_proxy(path, tmp_path / "proxy.mp4").frames == frames
    assert found.revision == int(tracks[0] != expected)
    if FFMPEG is not None:
        command = [FFMPEG, "-v", "error", "-i", str(path), "-f", "framecrc", "-"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        assert f"#dimensions 0: {width}x{height}" in lines
        assert sum(not line.startswith("#") for line in lines) == frames


def test_a_cover_is_no_video(tmp_path: Path):
    """A file of sound with a cover picture cannot be used."""
    path = write_covered_sound(tmp_path / "sound.mp4")
    assert probe(path).problem == "has no video stream, only a cover picture"
    with pytest.raises(ValueError, match=r"sound\.mp4 has no video stream, only a cover picture"):
        count_frames(path)


@pytest.mark.parametrize("name", ["cam1:0001.avi", "10:30:00 clip.avi", "file:x.avi", "-x.avi", "a%03d.avi"])
def test_a_relative_name_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """FFmpeg would take what stands before it for a protocol, in reading and in writing."""
    write_video(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name)).frames == 40
    assert write_proxy(Path(name), Path(f"{name}.mp4")).frames == 40
    os.mkdir("x:y")
    assert write_proxy(Path(name), Path("x:y", "proxy.mp4")).frames == 40


def test_a_list_of_files_is_no_video(tmp_path: Path):
    """A text under a video's name does not bring its neighbour's pictures into a dataset."""
    write_video(tmp_path / "other.avi")
    path = tmp_path / "v.avi"
    path.write_text("ffconcat version 1.0\nfile other.avi\n")
    assert probe(path).problem == "is a list of other files (concat): give these"
