"""Two gloo ranks against one process: losses, every gradient, banks, queues and running statistics."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import multiprocessing
from torch.distributed import HashStore
from two_ranks import CASES, NUM_RANKS, join_with_one_gpu, prepare_slowly, run_alone, run_rank

from kdvideo.config import load_config, validate_config
from kdvideo.distributed import _gpu_is_shared

# float32 sums of some thousand terms, taken in another order, which is worth 1e-7 to 1e-6 of the largest of a tensor. A
# share that is weighed wrongly, a gradient that is not sent back or a bank that is not told of the other rank's videos
# moves gradients by 1e-2 and more.
TOLERANCE = 1e-5


def free_port() -> int:
    """Below those that the system gives to other tests' servers, since the ranks need seconds until they take it."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise OSError("no port between 20000 and 32000 is free")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both ranks have left."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(run_rank, args=(free_port(), folder), nprocs=NUM_RANKS)
    return folder


@pytest.mark.parametrize("training", [True, False], ids=["own statistics", "fixed statistics"])
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_are_one_process(folder: Path, tmp_path: Path, case: str, training: bool):
    """The mean of their losses, the gradient of every parameter, and all that a checkpoint would hold."""
    expected = run_alone(case, tmp_path, norm_in_training=training)
    ranks = [torch.load(folder / f"{case}-{training}-{number}.pt") for number in range(NUM_RANKS)]
    for step, losses in enumerate(expected["losses"]):
        for name, value in losses.items():
            mean = sum(result["losses"][step][name] for result in ranks) / NUM_RANKS
            assert mean == pytest.approx(value, abs=TOLERANCE, rel=TOLERANCE), (step, name)
    for result in ranks:
        for step, gradients in enumerate(expected["gradients"]):
            for name, gradient in gradients.items():
                distance = (result["gradients"][step][name] - gradient).abs().max().item()
                assert distance <= TOLERANCE * max(1.0, gradient.abs().max().item()), (step, name)
        for part in ("student", "task", "average"):
            assert set(result[part]) == set(expected[part])
            for name, value in expected[part].items():
                # What differs in the last place of float32 may be rounded to the neighbour in a float16 bank.
                relative = torch.finfo(torch.float16).eps if value.dtype == torch.float16 else TOLERANCE
                torch.testing.assert_close(result[part][name], value, atol=TOLERANCE, rtol=relative)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_both_ranks_have_the_same_task(folder: Path, case: str, training: bool):
    """To the bit: whichever evaluates or writes, it is the same network with the same banks."""
    first, second = (torch.load(folder / f"{case}-{training}-{number}.pt") for number in range(NUM_RANKS))
    assert first["losses"] != second["losses"]  # of different samples
    for part in ("student", "task", "average"):
        assert all(torch.equal(value, second[part][name]) for name, value in first[part].items())
    for one, other in zip(first["gradients"], second["gradients"], strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_gradients_of_the_cases_are_no_rounding(folder: Path):
    """What is compared above is far from zero, and not the same with and without own statistics."""
    for case in CASES:
        own, fixed = (torch.load(folder / f"{case}-{training}-0.pt")["gradients"][1] for training in (True, False))
        (key,) = (name for name in own if name.endswith(".blocks.0.conv.weight"))  # the farthest from the loss
        assert own[key].abs().max() > 1e-3
        assert (own[key] - fixed[key]).abs().max() > 1e-3


def test_the_mixed_case_is_averaged(folder: Path):
    """Its average is another network than that of the last step."""
    result = torch.load(folder / "mixed-True-0.pt")
    assert max((result["average"][name] - value).abs().max() for name, value in result["student"].items()) > 1e-3


@pytest.mark.slow
def test_ranks_that_share_a_gpu_exchange_by_gloo(tmp_path: Path):
    """Without LOCAL_RANK. nccl would refuse, and say that the other process has ended."""
    multiprocessing.spawn(join_with_one_gpu, args=(free_port(), tmp_path), nprocs=NUM_RANKS)
    for number in range(NUM_RANKS):
        assert (tmp_path / f"joined-{number}.txt").read_text() == "[0] cpu:gloo,cuda:gloo"


@pytest.mark.slow
def test_no_rank_goes_on_before_all_have_prepared(tmp_path: Path):
    """Preparing may take days on every machine; what comes after it, an exchange, waits half an hour."""
    multiprocessing.spawn(prepare_slowly, args=(free_port(), tmp_path), nprocs=NUM_RANKS)
    assert (tmp_path / "seen.txt").read_text() == "True"


@pytest.mark.parametrize(("gpus", "shared"), [("aab", True), ("abc", False)])
def test_gpus_are_told_apart_by_their_own_number(gpus: str, shared: bool, monkeypatch: pytest.MonkeyPatch):
    """Each process may see another GPU as its only one, number 0, as Slurm shows them."""
    own, store = threading.local(), HashStore()
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=own.gpu))

    def ask(gpu: str) -> bool:
        own.gpu = gpu
        return _gpu_is_shared(store, len(gpus))

    with ThreadPoolExecutor(len(gpus)) as ranks:
        assert list(ranks.map(ask, gpus)) == [shared] * len(gpus)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so SyncBatchNorm works")
def test_synchronised_batch_norm_is_refused_on_cpu():
    """Before anything is loaded."""
    cfg = load_config(None, ["SOLVER.SYNC_BN", "True", "DATA.ROOT", "/videos"])
    with pytest.raises(ValueError, match=r"SOLVER\.SYNC_BN is True, but there is no GPU"):
        validate_config(cfg)
    validate_config(cfg, has_gpu=True)
