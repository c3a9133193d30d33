"""What goes wrong in the middle of a run: memory, disks, numbers that are not finite."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_trainer import make_trainer

from kdvideo.data.loader import create_loader
from kdvideo.engine.checkpoint import read_state, save_checkpoint
from kdvideo.engine.guards import describe_samples, first_not_finite, out_of_memory_means, writing
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.trainer import Hook


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """A limit of this process, which the system enforces."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def allocate_too_much() -> None:
    torch.empty(2**50)


def allocate_too_much_in_numpy() -> None:
    np.ones(2**50)


def pretend_a_gpu_is_full() -> None:
    """There is none here."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def pretend_cublas_finds_no_room() -> None:
    """As the first product on a GPU that another process has filled."""
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


@pytest.mark.parametrize(
    ("allocate", "place"),
    [
        (allocate_too_much, "process"),
        (allocate_too_much_in_numpy, "process"),
        (pretend_a_gpu_is_full, "GPU"),
        (pretend_cublas_finds_no_room, "GPU"),
    ],
)
def test_out_of_memory_names_the_setting(allocate, place: str):
    """As the allocators say it."""
    with pytest.raises(MemoryError, match=f"^the {place} is out of memory: lower X$"), out_of_memory_means("lower X"):
        allocate()


def test_out_of_memory_in_a_step():
    """Of a trainer."""
    trainer = make_trainer()
    trainer.task.register_forward_pre_hook(lambda *_: allocate_too_much())
    with pytest.raises(MemoryError, match=r"lower SOLVER\.BATCH_SIZE or CLIP\.SIZE, or raise SOLVER\.ACCUMULATE"):
        trainer.train()


def test_out_of_memory_in_a_hook():
    """After an epoch, where a checkpoint is made; a hook's own advice goes before."""

    class Full(Hook):
        def after_epoch(self, trainer, metrics):
            pretend_a_gpu_is_full()

    class Advises(Hook):
        def after_epoch(self, trainer, metrics):
            with out_of_memory_means("lower X"):
                pretend_a_gpu_is_full()

    for hook, advice in ((Full(), "lower SOLVER"), (Advises(), "lower X")):
        with pytest.raises(MemoryError, match=f"^the GPU is out of memory: {advice}"):
            make_trainer().train([hook])


def test_other_errors_pass():
    """A bug stays a bug, also while something is written."""
    with pytest.raises(RuntimeError, match="must match"), writing(Path("x")):
        torch.ones(2) + torch.ones(3)
    with pytest.raises(RuntimeError, match="must match"), out_of_memory_means("lower X"):
        torch.ones(2) + torch.ones(3)


class _Allocates(torch.utils.data.Dataset):
    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.empty(2**50)

    def __len__(self) -> int:
        return 2


def test_out_of_memory_in_a_worker():
    """Another setting than that of the run itself."""
    with pytest.raises(MemoryError, match=r"reads videos: lower DATA\.NUM_WORKERS"), out_of_memory_means("lower X"):
        next(iter(create_loader(_Allocates(), batch_size=1, num_workers=1)))


def test_a_checkpoint_that_does_not_fit(tmp_path: Path):
    """The file and the system's own reason; the one before is untouched, nothing is left behind."""
    save_checkpoint(RunFolder(tmp_path), {"weight": torch.ones(1000)}, max_to_keep=2)
    words = rf"{tmp_path}/checkpoint\.pt cannot be written: File too large; checkpoints that are there stay as they are"
    with largest_file(20_000), pytest.raises(OSError, match=words) as caught:
        save_checkpoint(RunFolder(tmp_path), {"weight": torch.ones(100_000)}, max_to_keep=2)
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == ["checkpoint.pt"]
    assert torch.equal(read_state(tmp_path / "checkpoint.pt")["weight"], torch.ones(1000))


def test_a_metrics_line_that_does_not_fit(tmp_path: Path):
    """Names the file, too."""
    with largest_file(5), pytest.raises(OSError, match=r"metrics\.jsonl cannot be written: File too large"):
        RunFolder(tmp_path).append_line({"epoch": 1})


def test_samples_of_a_batch():
    """Numbers and names, the first 32 of them."""
    records = [SimpleNamespace(name=f"v{i}.avi") for i in range(50)]
    dataset = SimpleNamespace(videos=SimpleNamespace(records=records))
    assert describe_samples({"index": torch.tensor([3, 1])}, dataset) == "samples 3 v3.avi, 1 v1.avi"
    assert describe_samples({"index": torch.arange(40)}, dataset).endswith("31 v31.avi and 8 more")


def test_first_not_finite():
    """However deep; whole numbers are always finite."""
    good = {"a": [torch.ones(2), {"b": torch.ones(2, dtype=torch.int64)}], "c": "word"}
    assert first_not_finite(good) is None
    assert first_not_finite({**good, "d": [1, {"e": torch.tensor([1.0, float("nan")])}]}) == "d.1.e"
