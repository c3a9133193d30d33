"""What a loader's workers send arrives, also where shared memory is small or full."""

import os
import signal
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from odd_machine import COMMAND, open_folder, run_in
from torch.utils.data import Dataset

from kdvideo.data.loader import create_loader
from kdvideo.inference import videos

MODEL = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


class _Samples(Dataset):
    """Tensors, an array, a number, a name; `batch_size` None gives them as they are."""

    def __getitem__(self, index: int) -> dict:
        clips = torch.arange(3 << 18).to(torch.uint8).view(3, -1) + index  # more than goes by value anyway
        return {"clips": clips, "array": clips.float().numpy(), "index": index, "name": str(index), "pair": (clips, 1)}

    def __len__(self) -> int:
        return 6


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("free", [0, 2**40])
def test_both_ways_give_the_same(batch_size: int | None, free: int, monkeypatch: pytest.MonkeyPatch, caplog):
    """By value where there is no room, and a warning once; every value and type as without workers."""
    from kdvideo.data import transport

    transport._tell_once.cache_clear()
    expected = list(create_loader(_Samples(), batch_size=batch_size, num_workers=0))
    monkeypatch.setattr(transport, "_free_bytes", lambda: free)
    with caplog.at_level("WARNING", "kdvideo"):
        batches = list(create_loader(_Samples(), batch_size=batch_size, num_workers=2))
    assert len(batches) == len(expected) == (6 if batch_size is None else 2)
    for batch, right in zip(batches, expected, strict=True):
        assert batch.keys() == right.keys()
        for name in ("clips", "array", "index", "pair"):
            torch.testing.assert_close(batch[name], type(batch[name])(right[name]) if name == "pair" else right[name])
        assert batch["name"] == right["name"]
        assert torch.is_tensor(batch["array"])
        assert batch["clips"].is_shared() == (free > 0)
    assert [record.message[:13] for record in caplog.records] == ([] if free else ["shared memory"])


class _Plans(Dataset):
    """Samples without pixels."""

    def __getitem__(self, index: int) -> dict:
        return {"frames": torch.arange(index, index + 16), "index": index}

    def __len__(self) -> int:
        return 4


def test_what_is_small_goes_by_value(monkeypatch: pytest.MonkeyPatch, caplog):
    """Without a warning, whatever is free; the values may be changed."""
    from kdvideo.data import transport

    transport._tell_once.cache_clear()
    monkeypatch.setattr(transport, "_free_bytes", lambda: 0)
    for batch in create_loader(_Plans(), batch_size=2, num_workers=1):
        assert torch.equal(batch["frames"], batch["index"][:, None] + torch.arange(16))
        assert not batch["frames"].is_shared()
        batch["frames"].zero_()
    assert not caplog.records


FILLS_IT = """
import torch
from kdvideo.data.loader import create_loader

class Big(torch.utils.data.Dataset):
    def __getitem__(self, index):
        return torch.full((2**20,), index)
    def __len__(self):
        return 4

print([batch.unique().tolist() for batch in create_loader(Big(), batch_size=2, num_workers=2)])
"""


def test_batches_larger_than_shared_memory():
    """They come whole; before, the run ended."""
    with open_folder() as folder:
        done = run_in(folder, [sys.executable, "-c", FILLS_IT], shared_memory="1m", timeout=120)
    assert done.stdout == "[[0, 1], [2, 3]]\n", done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_embed_with_little_shared_memory(tiny_dataset: Path, tmp_path: Path):
    """Before, the table was never finished; its features are those of one process."""
    command = [*COMMAND, "embed", str(tiny_dataset), "--model", MODEL, "--clips", "4"]
    tables = []
    for workers in ("2", "0"):
        out = tmp_path / f"{workers}.parquet"
        done = run_in(tmp_path, [*command, "--out", str(out), "--workers", workers], shared_memory="1m", timeout=120)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        tables.append(pq.read_table(out))
    assert "18 videos, 0 without a feature" in done.stdout
    assert tables[0].equals(tables[1])


def test_training_and_evaluation_with_little_shared_memory(tiny_overrides: list[str], tmp_path: Path):
    """Before, the preparation of the evaluation clips ended in 83 lines."""
    command = [*COMMAND, "train", *tiny_overrides, "DATA.NUM_WORKERS", "2", "SOLVER.EPOCHS", "1"]
    done = run_in(tmp_path, command, environment={"KDVIDEO_HOME": str(tmp_path)}, shared_memory="256k", timeout=200)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("shared memory (/dev/shm) is full: batches come through pipes") == 1


class _Dies(Dataset):
    def __init__(self, *_: object) -> None: ...

    def __getitem__(self, index: int) -> dict:
        os.kill(os.getpid(), signal.SIGBUS)
        return {}

    def __len__(self) -> int:
        return 2


def test_a_worker_that_is_killed_ends_embed(monkeypatch: pytest.MonkeyPatch):
    """In one line that says which number to lower; nothing waits for it."""
    monkeypatch.setattr(videos, "_Clips", _Dies)
    spec = torch.nn.Linear(1, 1)
    outputs = videos.compute_video_outputs(spec, [Path("a"), Path("b")], spec=None, num_workers=1)  # type: ignore[arg-type]
    with pytest.raises(
        MemoryError, match=r"^(shared memory \(/dev/shm\) is full|a process that reads).* \(--workers\)"
    ):
        list(outputs)
