"""Files with packets that cannot be decoded: they are left out and counted, and what is behind them is read."""

from pathlib import Path

import numpy as np
import pytest
from odd_videos import number, write_video, zero_packets

from kdvideo.data.checking.manifest import ManifestEntry, summarise
from kdvideo.data.proxies.transcode import ProxyConfig, write_proxy
from kdvideo.data.readers.decode import count_frames, read_frames
from kdvideo.data.readers.probe import probe

KINDS = [("avi", "mpeg4"), ("avi", "mjpeg"), ("mp4", "mpeg4"), ("mp4", "mjpeg")]


def shown(path: Path) -> list[int]:
    """The numbers of all frames that a file gives."""
    frames = read_frames(path, range(count_frames(path))).permute(0, 2, 3, 1).numpy()
    return [number(picture) for picture in frames]


@pytest.mark.parametrize(("ending", "codec"), KINDS)
@pytest.mark.parametrize("bad", [[3], [39], [3, 4, 20]])
def test_a_bad_packet_costs_its_own_frame(tmp_path: Path, ending: str, codec: str, bad: list[int]):
    """Not those behind it; and the probe says how many packets there were."""
    path = zero_packets(write_video(tmp_path / f"v.{ending}", codec=codec), bad)
    found = probe(path)
    assert (found.frames, found.skipped, found.problem) == (40 - len(bad), len(bad), None)
    kept = [i for i in range(40) if i not in bad]
    if codec == "mjpeg":  # of others, frames behind a lost one are pictures of what the decoder had
        assert shown(path) == kept
    assert len(shown(path)) == len(kept)


def test_a_first_packet_that_is_bad(tmp_path: Path):
    """The file can be used from its next picture on."""
    path = zero_packets(write_video(tmp_path / "v.avi", codec="mjpeg"), [0])
    assert shown(path) == list(range(1, 40))
    assert probe(path).problem is None


def test_no_packet_that_is_good(tmp_path: Path):
    """The reason says that there was something to decode."""
    path = zero_packets(write_video(tmp_path / "v.avi", codec="mjpeg"), range(40))
    assert probe(path).problem == "gives no frame: 40 packets cannot be decoded"


def test_a_plan_reads_the_frames_that_were_counted(tmp_path: Path):
    """Frame i is the i-th one that comes, whichever frames are asked for."""
    path = zero_packets(write_video(tmp_path / "v.avi", codec="mjpeg"), [3, 20])
    whole = read_frames(path, range(38))
    assert np.array_equal(read_frames(path, [37, 3, 18]), whole[[37, 3, 18]])


def test_a_damaged_file_is_read_from_its_start(tmp_path: Path):
    """Seeking would number its frames in another way."""
    path = write_video(tmp_path / "v.mp4", codec="libx264", num_frames=80)
    assert probe(path).reader == "seek"
    damaged = probe(zero_packets(path, [20]))
    assert (damaged.reader, damaged.skipped, damaged.revision) == ("pyav", 1, 1)


def test_a_proxy_has_the_frames_of_its_source(tmp_path: Path):
    """All those behind the bad packet, too; what was left out is said of it as of its source."""
    path = zero_packets(write_video(tmp_path / "v.avi", codec="mjpeg"), [3, 20])
    found = write_proxy(path, tmp_path / "proxy.mp4", ProxyConfig(crf=5))
    assert (found.frames, found.skipped) == (38, 2)
    assert shown(tmp_path / "proxy.mp4") == shown(path)


def test_the_summary_names_damaged_files(tmp_path: Path):
    """With their number of lost packets; whole files are not mentioned."""
    whole, damaged = write_video(tmp_path / "a.avi"), write_video(tmp_path / "b.avi", codec="mjpeg")
    zero_packets(damaged, [3, 20])
    entries = [ManifestEntry(path.name, probe(path), file_bytes=1, mtime_ns=1) for path in (whole, damaged)]
    assert summarise(entries)["skipped"] == {"b.avi": 2}
