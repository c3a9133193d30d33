"""Copies and downloads that were cut off: they can be used, but never without a word about what they lack."""

import logging
from pathlib import Path

import av
import pytest
from odd_videos import write_video

from kdvideo.data.checking.check import check_dataset, describe_summary, usable_videos
from kdvideo.data.checking.manifest import ManifestEntry, read_manifest, summarise
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.proxies.transcode import ProxyConfig, write_proxy
from kdvideo.data.readers.length import missing_seconds
from kdvideo.data.readers.probe import VideoProbe, probe

KINDS = [("avi", "mjpeg"), ("mp4", "mjpeg"), ("mov", "mpeg4"), ("mkv", "mjpeg"), ("flv", "flv")]


def cut(path: Path) -> Path:
    """Leaves the first half of a file's bytes; pictures are as large as each other, so half of the frames are left."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def write_whole(path: Path, codec: str, *, num_frames: int = 100) -> Path:
    """Writes 4 seconds, what states their length before them."""
    write_video(path, num_frames=num_frames, codec=codec)
    if path.suffix not in (".mp4", ".mov"):
        return path
    with av.open(str(path)) as source:  # as a server sends it
        fast = path.with_stem("fast")
        with av.open(str(fast), "w", options={"movflags": "faststart"}) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    return fast.replace(path)


@pytest.mark.parametrize(("ending", "codec"), KINDS)
def test_what_is_missing_is_counted(tmp_path: Path, ending: str, codec: str):
    """By what the file itself says of its length."""
    path = write_whole(tmp_path / f"v.{ending}", codec)
    assert (probe(path).frames, probe(path).missing) == (100, 0.0)
    found = probe(cut(path))
    assert 20 <= found.frames <= 80
    assert found.problem is None
    # A damaged last packet may count for a frame or not.
    assert found.missing == pytest.approx((100 - found.frames) / 25, abs=0.1)


def test_lengths_that_are_not_stated(tmp_path: Path):
    """A transport stream has no place for one: FFmpeg's estimate from the file's size says nothing."""
    assert probe(cut(write_video(tmp_path / "v.ts", codec="mpeg2video", num_frames=100))).missing == 0.0


def test_sound_that_goes_on_is_no_missing_picture(tmp_path: Path):
    """A container's length is that of its longest track; 1 s of pictures here, 4 s of sound."""
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=25), container.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, video.pix_fmt, audio.layout = 64, 48, "yuv420p", "mono"
        for _ in range(25):
            container.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        for second in range(4):
            frame = av.AudioFrame("s16", "mono", 8000)
            frame.sample_rate, frame.pts = 8000, 8000 * second
            container.mux(audio.encode(frame))
        container.mux([*video.encode(None), *audio.encode(None)])
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(4e6, rel=0.1)
    assert (probe(path).frames, probe(path).missing) == (25, 0.0)


@pytest.mark.parametrize(
    ("stated", "end", "stated_frames", "frames", "missing"),
    [
        (8.0, 2.0, 200, 50, 6.0),
        (8.0, 2.0, 0, 50, 6.0),
        (8.0, 2.0, 200, 199, 0.0),  # all pictures are there, the last one stands for 6 s
        (8.0, 8.0, 400, 200, 0.0),  # an edit list leaves pictures out
        (8.0, 7.3, 200, 181, 0.0),  # headers are often wrong by a few
        (0.4, 0.1, 10, 2, 0.0),
        (0.0, 2.0, 0, 50, 0.0),
    ],
)
def test_both_numbers_have_to_agree(stated: float, end: float, stated_frames: int, frames: int, missing: float):
    """A file is cut off only if time and frames say so, as far as it states them."""
    assert missing_seconds(stated, end=end, stated_frames=stated_frames, frames=frames) == missing


def test_check_and_training_name_them(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The videos stay: what is there of them is right."""
    cut(write_whole(tmp_path / "a.avi", "mjpeg"))
    write_video(tmp_path / "b.avi", codec="mjpeg")
    checked = check_dataset(tmp_path, ["a.avi", "b.avi"], num_workers=1)
    seconds = checked["a.avi"].probe.missing
    assert summarise(checked.values())["cut_off"] == {"a.avi": seconds}
    assert f"  a.avi: its last {seconds:g} s are missing, copy or download it again" in describe_summary(
        summarise(checked.values())
    )
    assert read_manifest(tmp_path / "kdvideo-manifest.jsonl")["a.avi"].probe.missing == seconds
    records = [VideoRecord(tmp_path / name, name, None, None) for name in ("a.avi", "b.avi")]
    with caplog.at_level(logging.WARNING, logger="kdvideo"):
        usable = usable_videos(records, tmp_path, max_bad_fraction=0.0, num_workers=1)
    assert len(usable.records) == 2
    assert f"1 of 2 videos are cut off; the first is a.avi: its last {seconds:g} s are missing" in caplog.text


def test_a_proxy_says_it_of_its_source(tmp_path: Path):
    """It is whole itself."""
    source = cut(write_whole(tmp_path / "a.avi", "mjpeg"))
    made = write_proxy(source, tmp_path / "a.mp4", ProxyConfig(short_side=32), time_limit=60)
    assert made.missing == probe(source).missing > 1
    assert probe(tmp_path / "a.mp4").missing == 0.0


def test_lines_of_before_hold():
    """They do not say it, which is no reason to look at a dataset again."""
    assert ManifestEntry("a.avi", VideoProbe(frames=3), 10, 10).probe.missing == 0.0
