"""Runs whose device holds the frames: the same numbers as with the host's, and when a device does."""

import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from traces import Trace

from kdvideo.config import load_config, validate_config
from kdvideo.data.cache.frames import map_frames_anew
from kdvideo.data.samples import TrainTuples
from kdvideo.device import choose_device
from kdvideo.engine.build import build_tuple_config, load_videos
from kdvideo.engine.launch import train
from kdvideo.engine.resident import keep_on_device

CPU = torch.device("cpu")


def trace(overrides: list[str]) -> list[dict]:
    hook = Trace()
    train(load_config(None, overrides), extra_hooks=(hook,))
    return hook.losses


@pytest.mark.parametrize("task", ["pcl", "supervised"])
def test_the_same_numbers(tiny_overrides: list[str], tmp_path: Path, task: str):
    """Every step of a run from the videos, from mapped frames and from frames on the device, bit by bit."""
    common = [*tiny_overrides, "TASK.NAME", task, "DATA.AUGMENT_ON", "device"]
    cache = ["DATA.CACHE", str(tmp_path / "frames")]
    runs = {
        "videos": [],
        "host": [*cache, "DATA.CACHE_ON", "host"],  # by itself, a GPU would hold them
        "device": [*cache, "DATA.CACHE_ON", "device", "DATA.NUM_WORKERS", "1"],
    }
    found = {name: trace([*common, *options, "OUTPUT_DIR", str(tmp_path / name)]) for name, options in runs.items()}
    assert found["videos"] == found["host"] == found["device"]
    assert len(found["videos"]) == 4
    assert f"MB of frames are on the {choose_device().type}" in (tmp_path / "device" / "log.txt").read_text()
    assert "MB of frames are on the" not in (tmp_path / "host" / "log.txt").read_text()


def test_a_device_needs_frames_to_hold(tiny_overrides: list[str], tmp_path: Path):
    """Asked for without a cache or with the workers' augmentation, it is refused before anything is read."""
    for options in (["DATA.AUGMENT_ON", "device"], ["DATA.CACHE", str(tmp_path)]):
        with pytest.raises(ValueError, match=r"^DATA\.CACHE_ON is device, which needs DATA\.CACHE, .*: set them, or"):
            validate_config(load_config(None, [*tiny_overrides, "DATA.CACHE_ON", "device", *options]))


@pytest.mark.parametrize(("free", "holds"), [(10_000_000, False), (100_000_000, True)])
def test_a_gpu_with_room(tiny_overrides: list[str], tmp_path: Path, monkeypatch, caplog, free: int, holds: bool):
    """By itself, a GPU holds frames of up to 0.3 of its free memory; these are 4 MB. A missing one keeps all away."""
    monkeypatch.setattr("kdvideo.engine.resident.torch.cuda.mem_get_info", lambda device: (free, free))
    made = []
    monkeypatch.setattr(
        "kdvideo.engine.resident.ResidentFrames", lambda videos, **options: made.append(options) or _Shapes()
    )
    cfg = load_config(None, [*tiny_overrides, "DATA.CACHE", str(tmp_path), "DATA.AUGMENT_ON", "device"])
    videos = load_videos(cfg, "train")
    dataset = TrainTuples(videos, build_tuple_config(cfg), seed=0, num_negatives=0, augment_on="device")
    caplog.set_level("INFO", logger="kdvideo")
    assert keep_on_device(cfg, dataset, device=CPU) is None  # no GPU
    assert (keep_on_device(cfg, dataset, device=torch.device("cuda")) is not None) == holds
    assert [options["size"] for options in made] == [32] * holds
    assert any("frames stay in the host's memory: they take 0.0 GB" in line for line in caplog.messages) != holds
    dataset.videos = replace(videos, cached=[*videos.cached[:3], None, *videos.cached[4:]])
    caplog.clear()
    assert keep_on_device(cfg, dataset, device=torch.device("cuda")) is None
    missing = f"1 of {len(dataset)} training videos are not cached, as the log says"
    assert caplog.messages == [f"frame cache: frames stay in the host's memory: {missing}"]


def test_one_map_at_a_time(tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process may have some 65,000. None is made before the size is known, and one that fails keeps all away."""
    overrides = [*tiny_overrides, "DATA.CACHE", str(tmp_path), "DATA.AUGMENT_ON", "device", "DATA.CACHE_ON", "device"]
    cfg = load_config(None, overrides)
    videos = load_videos(cfg, "train")
    dataset = TrainTuples(videos, build_tuple_config(cfg), seed=0, num_negatives=0, augment_on="device")
    alive: list[weakref.ref] = []

    def map_one(path: Path) -> torch.Tensor:
        assert sum(one() is not None for one in alive) <= 1  # the one that was copied last
        frames = map_frames_anew(path)
        alive.append(weakref.ref(frames))
        return frames

    monkeypatch.setattr("kdvideo.engine.resident.map_frames_anew", map_one)
    assert keep_on_device(cfg, dataset, device=CPU) is not None
    assert len(alive) == len(dataset)
    videos.cached[2].path.write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"^DATA\.CACHE_ON is device, but a file of them cannot be read"):
        keep_on_device(cfg, dataset, device=CPU)


def test_a_device_without_the_room(tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One line that says what to set."""

    def full(*_, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 99 GiB.")

    monkeypatch.setattr("kdvideo.engine.resident.ResidentFrames", full)
    overrides = [*tiny_overrides, "DATA.CACHE", str(tmp_path), "DATA.AUGMENT_ON", "device", "DATA.CACHE_ON", "device"]
    with pytest.raises(MemoryError, match=r"set DATA\.CACHE_ON to host"):
        train(load_config(None, overrides))


class _Shapes:
    shapes = ((36, 48),) * 12
