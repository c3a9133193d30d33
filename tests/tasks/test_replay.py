"""The store of a teacher's answers: what is read is what was computed, or it is computed again."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kdvideo.tasks.replay import ReplayStore, replay_size

SHAPES = {"pretext_logits": (5,)}
NUM_VIDEOS = 10


def open_store(directory: Path, key: str = "a", **keywords) -> ReplayStore:
    return ReplayStore(
        directory, {"key": key}, **{"shapes": SHAPES, "num_epochs": 2, "num_videos": NUM_VIDEOS, **keywords}
    )


def batch(epoch: int, *indices: int) -> dict[str, Tensor]:
    return {"epoch": torch.full((len(indices),), epoch), "index": torch.tensor(indices)}


def computed(of: dict[str, Tensor], offset: float = 0.0) -> dict[str, Tensor]:
    """An answer that tells its sample."""
    rows = 100.0 * of["epoch"] + of["index"] + offset
    return {"pretext_logits": rows[:, None] + torch.arange(5) / 7, "feature": rows[:, None, None].expand(-1, 3, 4)}


def refuse() -> dict[str, Tensor]:
    raise AssertionError("computed again")


def test_computed_once(tmp_path: Path):
    """Bit by bit what was computed, also from another process' store and by another batch."""
    first, second = batch(0, 3, 7, 1), batch(1, 3)
    store = open_store(tmp_path)
    for part in (first, second):
        answer = store.answer(part, lambda part=part: computed(part))
        assert torch.equal(answer["pretext_logits"], computed(part)["pretext_logits"])
    assert list(answer) == ["pretext_logits"]
    again = open_store(tmp_path)
    for part in (first, second, batch(0, 1, 3)):
        assert torch.equal(again.answer(part, refuse)["pretext_logits"], computed(part)["pretext_logits"])


def test_what_is_not_finite_is_not_kept(tmp_path: Path):
    """NaN would come back to every later student. The answers of the other samples of the batch are not kept either."""
    store, part = open_store(tmp_path), batch(1, 3, 7)
    wrong = computed(part)
    wrong["pretext_logits"][1, 2] = torch.nan
    message = "^the teacher's answers to 1 samples are not finite, the first to video 7 of its list: they are not kept"
    with pytest.raises(FloatingPointError, match=message):
        store.answer(part, lambda: wrong)
    assert open_store(tmp_path).count_answers() == 0


def test_what_is_missing_is_computed(tmp_path: Path):
    """The whole batch, so that its bits do not depend on what is there; what is there is kept."""
    store = open_store(tmp_path)
    store.answer(batch(0, 1), lambda: computed(batch(0, 1)))
    mixed = batch(0, 1, 2)
    answer = store.answer(mixed, lambda: computed(mixed, offset=0.5))["pretext_logits"]
    assert torch.equal(answer[0], computed(mixed)["pretext_logits"][0])
    assert torch.equal(answer[1], computed(mixed, offset=0.5)["pretext_logits"][1])


def test_answers_travel_with_the_batch(tmp_path: Path):
    """In one batch, or in parts of it; the store is asked on the host, and steady is what finds all answers."""
    store, whole = open_store(tmp_path), batch(0, 1, 2, 3, 4)
    assert not store.has_answers(whole)
    looked_up = store.look_up(whole)
    assert not store.has_answers(looked_up)
    for part in (slice(0, 2), slice(2, 4)):
        cut = {key: value[part] for key, value in looked_up.items()}
        answer = store.answer(cut, lambda cut=cut: computed(cut))["pretext_logits"]
        assert torch.equal(answer, computed(cut)["pretext_logits"])
    looked_up = store.look_up(whole)
    assert store.has_answers(looked_up)
    assert torch.equal(store.answer(looked_up, refuse)["pretext_logits"], computed(whole)["pretext_logits"])


class _LateCopy:
    """A `HostCopy` as it is on a GPU."""

    is_late = True

    def __init__(self, values: Tensor) -> None:
        self.values = values.clone()

    def read(self) -> Tensor:
        return self.values


def test_late_answers_are_stored_one_call_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """None is lost, and each is stored with its own sample."""
    monkeypatch.setattr("kdvideo.tasks.replay.HostCopy", _LateCopy)
    store, first, second = open_store(tmp_path), batch(0, 5, 2), batch(1, 3)
    store.answer(first, lambda: computed(first))
    assert not store.has_answers(store.look_up(first))
    store.answer(second, lambda: computed(second))
    assert [store.has_answers(store.look_up(part)) for part in (first, second)] == [True, False]
    store.flush()
    store.flush()
    for part in (first, second):
        assert torch.equal(store.answer(part, refuse)["pretext_logits"], computed(part)["pretext_logits"])


def test_another_output_is_added(tmp_path: Path):
    """A student with another loss finds the logits, and the features are computed."""
    part = batch(0, 4, 5)
    open_store(tmp_path).answer(part, lambda: computed(part))
    both = open_store(tmp_path, shapes={**SHAPES, "feature": (3, 4)})
    answer = both.answer(part, lambda: computed(part, offset=0.25))
    assert torch.equal(answer["pretext_logits"], computed(part)["pretext_logits"])
    assert torch.equal(answer["feature"], computed(part, offset=0.25)["feature"])


def test_it_grows(tmp_path: Path):
    """A longer run uses what a shorter one has stored, whose store goes on working."""
    short = open_store(tmp_path)
    short.answer(batch(1, 9), lambda: computed(batch(1, 9)))
    long = open_store(tmp_path, num_epochs=5)
    long.answer(batch(1, 9), refuse)
    long.answer(batch(4, 9), lambda: computed(batch(4, 9)))
    short.answer(batch(0, 2), lambda: computed(batch(0, 2)))
    assert torch.equal(long.answer(batch(0, 2), refuse)["pretext_logits"], computed(batch(0, 2))["pretext_logits"])


def test_another_key_is_another_store(tmp_path: Path):
    """And a folder whose key is not the one that its name says is refused."""
    part = batch(0, 1)
    store = open_store(tmp_path)
    store.answer(part, lambda: computed(part))
    other = open_store(tmp_path, key="b")
    assert other.directory != store.directory
    assert torch.equal(
        other.answer(part, lambda: computed(part, offset=1.0))["pretext_logits"][0, 0], torch.tensor(2.0)
    )
    (store.directory / "key.json").write_text('{"key": "c"}')
    with pytest.raises(ValueError, match=r"key\.json is of another key .*: remove the folder"):
        open_store(tmp_path)


@pytest.mark.parametrize("damage", ["values", "valid"])
def test_damage_is_computed_again(tmp_path: Path, damage: str):
    """Values that never reached the disk, a page of garbage: the checksum tells, and the answer is repaired."""
    part = batch(0, 2, 3)
    store = open_store(tmp_path)
    store.answer(part, lambda: computed(part))
    path = store.directory / f"pretext_logits.{damage}"
    content = np.memmap(path, dtype=np.uint8, mode="r+")
    content[len(content) // NUM_VIDEOS // 2 * 2] ^= 1  # the first byte of row 2
    content.flush()
    answer = open_store(tmp_path).answer(part, lambda: computed(part))
    assert torch.equal(answer["pretext_logits"], computed(part)["pretext_logits"])
    open_store(tmp_path).answer(part, refuse)


def test_size_is_said_and_right(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """20 bytes a sample for five logits, and 4 for the checksum; on disk, too. Then how much is there."""
    caplog.set_level(logging.INFO, logger="kdvideo")
    store = open_store(tmp_path, num_epochs=100, num_videos=1000)
    assert replay_size(SHAPES, num_epochs=100, num_videos=1000) == 100_000 * 24
    assert "teacher replay: 2.4 MB in" in caplog.text
    assert "0 of 100000 answers are there" in caplog.text
    files = [path.stat() for path in store.directory.glob("pretext_logits.*")]
    assert sum(status.st_size for status in files) == 2_400_000
    assert sum(status.st_blocks * 512 for status in files) >= 2_400_000  # allocated, not only announced


def test_full_disk(tmp_path: Path):
    """One line before the first step. The limit of a file's size stands for the disk's end."""
    program = f"""
import resource
from pathlib import Path
from kdvideo.tasks.replay import ReplayStore
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    ReplayStore(Path({str(tmp_path)!r}), {{}}, shapes={{"feature": (3, 512)}}, num_epochs=9, num_videos=99)
except ValueError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.startswith("a replay store of 5.5 MB cannot be written in ")
    assert "make room, set KDVIDEO_HOME to another disk or turn `replay` off" in said
    assert said.count("\n") == 1


def _fill(directory: Path, seed: int) -> None:
    """Goes through all samples in an order of its own."""
    store = open_store(directory, num_epochs=20)
    order = np.random.default_rng(seed).permutation(20 * NUM_VIDEOS)
    for rows in order.reshape(-1, 4):
        part = {"epoch": torch.from_numpy(rows // NUM_VIDEOS), "index": torch.from_numpy(rows % NUM_VIDEOS)}
        answer = store.answer(part, lambda part=part: computed(part))
        assert torch.equal(answer["pretext_logits"], computed(part)["pretext_logits"])


def _check_all(directory: Path) -> int:
    """How many of all answers are there; each is right."""
    store, there = open_store(directory, num_epochs=20), 0
    for row in range(20 * NUM_VIDEOS):
        part = batch(row // NUM_VIDEOS, row % NUM_VIDEOS)
        asked: list[int] = []
        answer = store.answer(part, lambda part=part, asked=asked: asked.append(1) or computed(part))
        assert torch.equal(answer["pretext_logits"], computed(part)["pretext_logits"])
        there += not asked
    return there


def test_several_runs_at_once(tmp_path: Path):
    """Three processes on one new store: each sees right answers only, and all are there afterwards."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_fill, args=(tmp_path, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert _check_all(tmp_path) == 20 * NUM_VIDEOS


def test_answers_in_the_hosts_memory_touch_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A machine has one, and the process was forked from one that used it: pinning memory would be an error."""

    def refuse_to_pin(tensor: Tensor) -> Tensor:
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(Tensor, "pin_memory", refuse_to_pin)
    store, part = open_store(tmp_path), batch(1, 2, 3)
    answer = store.answer(part, lambda: computed(part))
    assert torch.equal(store.answer(part, refuse)["pretext_logits"], answer["pretext_logits"])
    with pytest.raises(RuntimeError, match="forked"):
        store.look_up(part)  # for a batch that moves to the GPU


def _fill_for_ever(directory: Path) -> None:
    while True:
        for path in directory.glob("*/*.valid"):
            path.unlink()
        _fill(directory, seed=0)


@pytest.mark.parametrize("milliseconds", [1, 7, 20])
def test_killed_while_it_writes(tmp_path: Path, milliseconds: int):
    """What is marked as there is right."""
    process = multiprocessing.get_context("fork").Process(target=_fill_for_ever, args=(tmp_path,))
    process.start()
    while not list(tmp_path.glob("*/*.valid")):
        assert process.is_alive(), "the process has ended before it could be killed"
    process.join(milliseconds / 1000)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    _check_all(tmp_path)
