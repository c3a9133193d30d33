"""Copies to a GPU on a stream of their own: the right values, however the streams overlap."""

import pytest
import torch

from kdvideo.data.batch import Batch
from kdvideo.data.transfer import transfer_to

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="copies to a GPU, and there is none"),
]
NUM_BATCHES, NUM_VALUES = 40, 4_000_000
PAUSE = 2_000_000  # cycles of the GPU, about a millisecond: longer than the copy of 16 MB


def host_batch(number: int) -> Batch:
    """16 MB of pinned memory, and what is no tensor."""
    clips = torch.full((NUM_VALUES,), number, dtype=torch.int32).pin_memory()
    return {"clips": clips, "names": [str(number)]}  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize("slow", ["copies", "steps"])
def test_each_step_sees_its_own_batch(slow: str):
    """Sums of all values, with the memory of earlier batches used again, and no wait on the host in between."""
    device = torch.device("cuda")
    transfer = transfer_to(device)
    sums = []
    for number in range(NUM_BATCHES):
        if slow == "copies":
            with torch.cuda.stream(transfer.stream):
                torch.cuda._sleep(PAUSE)
        batch = transfer(host_batch(number))
        assert batch["clips"].device.type == "cuda"
        assert batch["names"] == [str(number)]
        if slow == "steps":
            torch.cuda._sleep(PAUSE)
        sums.append(batch["clips"].sum(dtype=torch.int64))
        del batch
    assert torch.stack(sums).tolist() == [number * NUM_VALUES for number in range(NUM_BATCHES)]


def test_copies_run_beside_steps():
    """A copy of 16 MB ends while the step before it computes."""
    transfer = transfer_to(torch.device("cuda"))
    transfer(host_batch(0))  # allocates
    batch = host_batch(1)
    torch.cuda.synchronize()
    torch.cuda._sleep(1_000_000_000)  # about half a second
    step = torch.cuda.Event()
    step.record()
    transfer(batch)
    copied = transfer.stream.record_event()
    copied.synchronize()
    assert not step.query()
    torch.cuda.synchronize()
