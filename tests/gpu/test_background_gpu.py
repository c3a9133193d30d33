"""A state that a thread fetches from the GPU while the GPU goes on changing it."""

import threading

import pytest
import torch

from kdvideo.engine.background import StateCopy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


def test_the_copy_is_that_of_its_moment():
    """All elements, though the GPU has much to do before and after it."""
    device, rounds = torch.device("cuda"), 50
    weights, work = torch.zeros(1 << 24, device=device), torch.randn(2048, 2048, device=device)
    copies, fetched = [], {}
    for number in range(rounds):
        for _ in range(4):
            work = torch.nn.functional.normalize(work @ work)
        weights.fill_(number)
        if number % 10 == 0:
            copies.append((number, StateCopy({"student": {"weight": weights}}, device=device)))

    def fetch() -> None:
        for number, copied in copies:
            fetched[number] = copied.read()["student"]["weight"]

    thread = threading.Thread(target=fetch)
    thread.start()
    thread.join()
    assert [value.device.type for value in fetched.values()] == ["cpu"] * len(copies)
    assert all((value == number).all() for number, value in fetched.items())


def test_the_copy_takes_no_memory_of_the_gpu():
    """A batch that fills the GPU leaves no room for a second state."""
    weights = torch.zeros(1 << 24, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    copied = StateCopy({"student": {"weight": weights}}, device=weights.device).read()
    assert torch.cuda.max_memory_allocated() == before
    assert copied["student"]["weight"].is_pinned()
