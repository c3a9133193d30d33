"""A dataset's folder that is away while a run reads: tried again, for a while; what is lost is said in one line."""

import errno
import logging
import multiprocessing
import os
import pickle
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.readers import decode, outage
from kdvideo.data.readers.file_errors import VideoError
from kdvideo.data.readers.outage import LostVideoError
from kdvideo.data.resize import CENTER
from kdvideo.data.videos import VideoList
from kdvideo.engine.checkpoint import read_state
from kdvideo.engine.launch import train
from kdvideo.engine.run_folder import CHECKPOINT_NAME

CLIPS = [(0, 1, 2, 3), (40, 41, 42, 43)]
READS: dict[str, Callable[[VideoList], list[torch.Tensor]]] = {
    "clips": lambda videos: videos.read_clips(0, CLIPS, places=[CENTER] * 2, short_side=36, size=32),
    "views": lambda videos: videos.read_views(0, CLIPS, num_crops=3, short_side=36, size=32),
}


@pytest.fixture
def videos(tiny_dataset: Path, tmp_path: Path) -> VideoList:
    """One video, in a folder that can go away."""
    folder = tmp_path / "data"
    folder.mkdir()
    path = Path(shutil.copy(tiny_dataset / "BallRoll/v_BallRoll_g01_c01.avi", folder))
    return VideoList([VideoRecord(path, path.name, None)], [64])


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made, in no time; the folder is back after those that a test says."""
    made: list[float] = []

    def note(seconds: float) -> bool:
        made.append(seconds)
        return True

    monkeypatch.setattr(outage, "_wait", note)
    return made


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_outage_of_some_seconds(videos: VideoList, pauses: list[float], caplog, monkeypatch, read):
    """The same clips as without it, and one line of warning a try."""
    expected = read(videos)
    folder = videos.records[0].path.parent
    away = folder.rename(folder.with_name("away"))

    def note(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 3:
            away.rename(folder)
        return True

    monkeypatch.setattr(outage, "_wait", note)
    assert all(torch.equal(a, b) for a, b in zip(read(videos), expected, strict=True))
    assert pauses == [1, 2, 4]
    path = videos.records[0].path
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"video {path} does not exist: trying again in {seconds} s" for seconds in (1, 2, 4)
    ]


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_outage_that_lasts(videos: VideoList, pauses: list[float], read):
    """About a minute, then the one line."""
    path = videos.records[0].path
    path.unlink()
    with pytest.raises(LostVideoError) as caught:
        read(videos)
    assert str(caught.value) == (
        f"video {path} does not exist; it could be read when the run began: bring it back as it was"
    )
    assert caught.value.reason == "does not exist"
    assert pauses == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize(
    ("number", "tries"), [(errno.ESTALE, 7), (errno.EIO, 7), (errno.ETIMEDOUT, 7), (errno.EACCES, 1), (errno.EPERM, 1)]
)
def test_which_errors_pass(videos: VideoList, pauses: list[float], monkeypatch, number: int, tries: int):
    """What a network disk answers is waited out; what somebody has set is not."""
    calls = []

    def fail(*arguments: object, **options: object) -> None:
        calls.append(1)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(decode.pyav, "decode_indices", fail)
    with pytest.raises(LostVideoError, match=f"cannot be opened: {os.strerror(number)}; it could be read"):
        READS["clips"](videos)
    assert (len(calls), len(pauses)) == (tries, tries - 1)


def test_a_disk_that_fails_in_the_middle(videos: VideoList, pauses: list[float], monkeypatch):
    """FFmpeg takes it for the end of the file; it is waited for, too."""
    expected, real = READS["clips"](videos), decode.pyav.decode_indices

    def decode_indices(path: Path, *arguments: object, **options: object) -> object:
        if len(pauses) < 2:
            raise VideoError(path, "ends before frame 43; it gives 4 of 8 asked for")
        return real(path, *arguments, **options)

    monkeypatch.setattr(decode.pyav, "decode_indices", decode_indices)
    monkeypatch.setattr(outage, "system_error", lambda path, *, whole: OSError(errno.EIO, "failed") if whole else None)
    assert all(torch.equal(a, b) for a, b in zip(READS["clips"](videos), expected, strict=True))
    assert pauses == [1, 2]


def test_another_file_is_no_outage(videos: VideoList, pauses: list[float]):
    """A video that was overwritten by a broken one is not waited for."""
    videos.records[0].path.write_bytes(b"no video")
    with pytest.raises(LostVideoError, match=r"cannot be opened: .*bring it back"):
        READS["clips"](videos)
    assert pauses == []


def test_a_disk_that_is_back_at_once(videos: VideoList, pauses: list[float], monkeypatch):
    """Between the failure and the look at the file: the next try comes without a pause."""
    expected, real, calls = READS["clips"](videos), decode.pyav.decode_indices, []

    def fail_once(path: Path, *arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise VideoError(path, "does not exist")
        return real(path, *arguments, **options)

    monkeypatch.setattr(decode.pyav, "decode_indices", fail_once)
    assert all(torch.equal(a, b) for a, b in zip(READS["clips"](videos), expected, strict=True))
    assert (len(calls), pauses) == (2, [])


def test_a_pause_ends_when_it_is_told_to():
    """In a slice of a second."""
    assert outage._wait(0.15)
    outage.allow_waiting(False)
    try:
        started = time.monotonic()
        assert not outage._wait(30.0)
        assert time.monotonic() - started < 10
    finally:
        outage.allow_waiting(True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_stops_during_an_outage(
    tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, capfd, monkeypatch, workers: int
):
    """SIGTERM to the run and its worker, as Slurm sends it, while they wait: 75, a checkpoint, and --resume goes on."""
    root, away = tmp_path / "data", tmp_path / "away"
    shutil.copytree(tiny_dataset, root)
    common = [*tiny_overrides, "DATA.ROOT", str(root), "SOLVER.BATCH_SIZE", "2", "CONTRAST.NAME", "batch_nce"]
    common += ["DATA.NUM_WORKERS", str(workers)]

    signals: list[threading.Timer] = []

    def signal_all() -> None:  # by another process: workers obey the run's own signals otherwise
        processes = (*multiprocessing.active_children(), multiprocessing.current_process())
        subprocess.run(["kill", "-TERM", *(str(process.pid) for process in processes)], check=True)

    def lose(self: object, trainer, scalars: object) -> None:
        if trainer.step == 2:
            root.rename(away)
            signals.append(threading.Timer(3.0, signal_all))
            signals[0].start()

    with monkeypatch.context() as patch:
        patch.setattr("kdvideo.engine.hooks.Progress.after_step", lose)
        code = main(["train", *common])
        signals[0].cancel()  # of a run that ended by itself: the next test is not to be stopped
        assert code == os.EX_TEMPFAIL
    error = capfd.readouterr().err
    assert "does not exist: trying again in 1 s" in error
    assert "trying again in 32 s" not in error  # it did not sit the outage out
    assert "Traceback" not in error
    state = read_state(tmp_path / "run" / CHECKPOINT_NAME)
    assert state["epoch"] == 0
    assert 2 <= state["epoch_step"] <= 4  # what a worker had read ahead was used
    away.rename(root)
    resumed = train(load_config(None, common), resume=True)
    whole = train(load_config(None, [*common, "OUTPUT_DIR", str(tmp_path / "whole"), "DATA.ROOT", str(tiny_dataset)]))
    for (key, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_errors_keep_path_and_reason_between_processes(videos: VideoList):
    """Both kinds are pickled; a DataLoader makes a new one from its worker's text alone."""
    error = pickle.loads(pickle.dumps(VideoError("a b.avi", "gives no frame")))
    assert (str(error), error.path, error.reason) == ("video a b.avi gives no frame", Path("a b.avi"), "gives no frame")
    videos.records[0].path.write_bytes(b"no video")
    with pytest.raises(LostVideoError) as caught:
        READS["clips"](videos)
    lost = pickle.loads(pickle.dumps(caught.value))
    assert (str(lost), lost.reason) == (str(caught.value), "cannot be opened: Invalid data found when processing input")
    assert str(LostVideoError("Caught LostVideoError in worker 0")) == "Caught LostVideoError in worker 0"
