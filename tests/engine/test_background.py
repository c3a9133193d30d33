"""Checkpoints that a thread writes: the state of their step, whole, one at a time, and with their errors."""

import errno
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_gpu import Waits
from torch._subclasses.fake_tensor import FakeTensorMode
from toy_trainer import make_trainer, run

from kdvideo.engine import hooks
from kdvideo.engine.background import BackgroundWriter, StateCopy
from kdvideo.engine.checkpoint import load_checkpoint, save_checkpoint
from kdvideo.engine.hooks import Checkpointer
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.trainer import Hook

CPU = torch.device("cpu")


@pytest.fixture
def _beside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hooks, "can_write_beside", lambda device: True)  # as on a GPU


def checkpointer(folder: Path, *, period: int = 0) -> Checkpointer:
    return Checkpointer(RunFolder(folder), period=period, max_to_keep=9, extra={"note": "x"})


def written(folder: Path) -> list[tuple[int, float, str]]:
    states = [torch.load(path, weights_only=True) for path in RunFolder(folder).checkpoints()]
    return [(state["step"], state["student"]["weight"].item(), state["note"]) for state in states]


def test_a_copy_does_not_change():
    """Containers keep their types, and what a module's state_dict carries besides its tensors."""
    module = torch.nn.BatchNorm1d(2)
    state = {"student": module.state_dict(), "groups": [{"lr": 0.1, "params": [0]}], "pair": (torch.zeros(1), None)}
    copied = StateCopy(state, device=CPU)
    module.running_mean.fill_(7)
    state["groups"][0]["lr"] = 0.2
    result = copied.read()
    assert not result["student"]["running_mean"].any()
    assert type(result["student"]) is OrderedDict
    assert result["student"]._metadata == state["student"]._metadata
    assert result["groups"] == [{"lr": 0.1, "params": [0]}]
    assert type(result["pair"]) is tuple


@pytest.mark.usefixtures("_beside")
def test_the_same_files_as_without_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each holds the weights of its own step, though the thread writes it when the training is further."""
    run(make_trainer(), checkpointer(tmp_path / "beside", period=2))
    monkeypatch.setattr(hooks, "can_write_beside", lambda device: False)
    run(make_trainer(), checkpointer(tmp_path / "waiting", period=2))
    assert written(tmp_path / "beside") == written(tmp_path / "waiting")
    assert [step for step, *_ in written(tmp_path / "beside")] == [9, 8, 6, 6, 4, 3, 2]


@pytest.mark.usefixtures("_beside")
def test_the_training_goes_on_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The next step is taken while a write hangs; the next checkpoint waits, so that one is written at a time."""
    may_write, events = threading.Event(), []

    def save_late(folder, state, *, max_to_keep):
        assert may_write.wait(60)
        save_checkpoint(folder, state, max_to_keep=max_to_keep)
        events.append(("written", state["step"]))

    class Steps(Hook):
        def after_step(self, trainer, scalars):
            events.append(("step", trainer.step))
            if trainer.step == 3:
                may_write.set()

    monkeypatch.setattr(hooks, "save_checkpoint", save_late)
    run(make_trainer(EPOCHS=1), checkpointer(tmp_path, period=2), Steps())
    assert events == [*(("step", step) for step in (1, 2, 3)), ("written", 2), ("written", 3)]


@pytest.mark.usefixtures("_beside")
def test_a_stop_waits(tmp_path: Path):
    """The checkpoint of a stopped run is there when it ends, and the run goes on from it."""
    whole, first, second = (make_trainer() for _ in range(3))
    lines = run(whole)
    run(first, checkpointer(tmp_path), stop_at=4)
    state = load_checkpoint(RunFolder(tmp_path))
    assert state["step"] == 4
    second.load_state(state)
    assert run(second).steps == lines.steps[4:]


@pytest.mark.usefixtures("_beside")
@pytest.mark.parametrize("at_end", [False, True])
def test_an_error_ends_the_training(at_end: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The same line as without a thread, in the training's own thread: before a later checkpoint, or at the end."""
    trainer = make_trainer(EPOCHS=1 if at_end else 3)

    def fail(path, write):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("kdvideo.engine.checkpoint.write_atomic", fail)
    with pytest.raises(OSError, match=r"checkpoint\.pt cannot be written: No space left on device") as caught:
        trainer.train([checkpointer(tmp_path)])
    assert caught.value.errno == errno.ENOSPC
    assert trainer.step == 3 if at_end else 3 <= trainer.step <= 6


@pytest.mark.usefixtures("_beside")
def test_weights_that_are_not_finite_are_not_written(tmp_path: Path):
    """The checkpoint before stays."""
    trainer = make_trainer(EPOCHS=1)

    class Spoil(Hook):
        def after_epoch(self, trainer, metrics):
            trainer.task.trainable.weight.data.fill_(torch.inf)

    with pytest.raises(FloatingPointError, match="weight is not finite after step 3; the checkpoint before it is kept"):
        trainer.train([Spoil(), checkpointer(tmp_path, period=2)])
    assert [step for step, *_ in written(tmp_path)] == [2]


def test_a_copy_takes_no_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch):
    """It is in the host's from the beginning, and who makes it does not wait."""
    monkeypatch.setattr(torch.cuda, "Event", lambda **_: SimpleNamespace(record=lambda stream: None))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    with FakeTensorMode(), Waits() as counted:
        state = {"weight": torch.ones(3, device="cuda"), "steps": [torch.ones(())]}
        copied = StateCopy(state, device=torch.device("cuda"))
    assert [value.device.type for value in (copied._state["weight"], *copied._state["steps"])] == ["cpu", "cpu"]
    assert (counted.copies_to_host, counted.waits.total()) == (1, 0)


def test_ctrl_c_while_waiting_forgets_no_write(monkeypatch: pytest.MonkeyPatch):
    """The end of the training waits for it again."""
    writer, may_write, done = BackgroundWriter(), threading.Event(), []

    def write() -> None:
        assert may_write.wait(60)
        time.sleep(0.2)  # whoever does not wait is earlier
        done.append(True)

    def interrupted(future: Future) -> None:
        raise KeyboardInterrupt

    writer.start(write)
    with monkeypatch.context() as patched:
        patched.setattr(Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.wait()
    may_write.set()
    writer.close()
    assert done == [True]


def test_an_error_at_the_end_is_logged(caplog: pytest.LogCaptureFixture):
    """Where the training has ended by another error, which is the one to raise."""
    writer = BackgroundWriter()

    def fail() -> None:
        raise OSError("the disk has gone")

    writer.start(fail)
    writer.close()
    assert "the disk has gone" in caplog.text
