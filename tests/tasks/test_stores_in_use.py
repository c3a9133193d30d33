"""Stores that other processes write at the same time, and stores that no disk has room for."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kdvideo.files import allocate
from kdvideo.tasks.lesson import Lesson
from kdvideo.tasks.replay import ReplayStore


def test_an_answer_that_is_written_right_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A worker has seen it and decodes no clip. It is waited for, until its checksum is there, too."""
    store = ReplayStore(tmp_path, {}, shapes={"feature": (3,)}, num_epochs=2, num_videos=4, by="view")
    view, index, answers = torch.tensor([1, 0]), torch.tensor([2, 3]), {"feature": torch.rand(2, 3)}
    monkeypatch.setattr("time.sleep", lambda _: store.write(view, index, answers))
    lesson = SimpleNamespace(replay=store, views=object())
    completed = Lesson.complete_batch(lesson, {"view": view, "index": index})
    assert store.has_answers(completed)
    assert torch.equal(completed["answer_feature"], answers["feature"])


@pytest.mark.parametrize("num_bytes", [1 << 62, 1 << 80])
def test_no_disk_is_filled_in_vain(tmp_path: Path, num_bytes: int, monkeypatch: pytest.MonkeyPatch):
    """What cannot fit is refused before a block is allocated."""
    monkeypatch.setattr("os.posix_fallocate", lambda *_: pytest.fail("blocks were allocated"), raising=False)
    with (tmp_path / "large").open("ab+") as stream:
        with pytest.raises(OSError, match="No space left") as refused:
            allocate(stream.fileno(), num_bytes)
        assert refused.value.errno == errno.ENOSPC
    assert (tmp_path / "large").stat().st_size == 0
