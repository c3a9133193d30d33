"""What a memory bank costs when it has more videos: NCE against it and its update, alone.

    python benchmarks/bank_scaling.py
    OMP_NUM_THREADS=1 python benchmarks/bank_scaling.py

Banks of 10,000 and of 1,000,000 videos, batch 16, 1,024 negatives, 128 numbers a vector, as many threads as a training
would have: forward, backward to the projections, update. The sizes take turns in one process, now the one first, now
the other. Before each step 64 MB are written, as a network's own forward and backward would: without that the small
bank stays in the processor's cache, where no training finds it.

Beside kdvideo's way, the same with float32 rows, and plain indexing of those in pages of the usual size; and of each
the look-up of 16 x 1,024 rows in one bank. Prints medians, and the median of the ratios of steps that followed each
other, which a busy neighbour disturbs less. The last line is one JSON object. Two minutes.
"""

import statistics
import time

import simplejson
import torch
from torch import Tensor
from torch.nn import functional as F

from kdvideo.engine.memory import keep_freed_memory, use_huge_pages
from kdvideo.losses import BankNCE, MemoryBank

SIZES = (10_000, 1_000_000)
BATCH_SIZE, NUM_NEGATIVES, DIM = 16, 1024, 128
NUM_STEPS, NUM_WARM = 1000, 20
NETWORK_BYTES = 2**26


class PlainBank(MemoryBank):
    """As one would write it."""

    def look_up(self, index: Tensor) -> Tensor:
        return self.vectors[index]


def build(size: int, way: str) -> BankNCE:
    loss = BankNCE(num_videos=size, dim=DIM, num_negatives=NUM_NEGATIVES).train()
    if way != "kdvideo":
        loss.float()
    if way == "plain":
        for bank in loss.banks:
            bank.__class__ = PlainBank
    else:
        use_huge_pages(loss)
    return loss


def take_step(loss: BankNCE, size: int, generator: torch.Generator, network: Tensor) -> tuple[float, float]:
    """Seconds of a step, and of a look-up; before each, `network` drives everything else out of the cache."""
    z = F.normalize(torch.randn(BATCH_SIZE, 2, DIM, generator=generator), dim=2).requires_grad_()
    index = torch.randint(size, (BATCH_SIZE,), generator=generator)
    negatives, others = torch.randint(size, (2, BATCH_SIZE, NUM_NEGATIVES), generator=generator)
    network.add_(1)
    start = time.perf_counter()
    loss(z, index, negatives).backward()
    step = time.perf_counter() - start
    network.add_(1)
    start = time.perf_counter()
    loss.last_bank.look_up(others)
    return step, time.perf_counter() - start


def measure(way: str) -> dict[str, dict[int, list[float]]]:
    """Milliseconds of each step and each look-up, of either size."""
    generator = torch.Generator().manual_seed(0)
    losses = {size: build(size, way) for size in SIZES}
    network = torch.zeros(NETWORK_BYTES, dtype=torch.uint8)
    milliseconds: dict[str, dict[int, list[float]]] = {
        what: {size: [] for size in SIZES} for what in ("step", "look-up")
    }
    for number in range(NUM_WARM + NUM_STEPS):
        for size in SIZES if number % 2 else reversed(SIZES):
            seconds = take_step(losses[size], size, generator, network)
            if number >= NUM_WARM:
                for what, value in zip(milliseconds, seconds, strict=True):
                    milliseconds[what][size].append(1e3 * value)
    return milliseconds


def main() -> None:
    keep_freed_memory()
    print(f"{torch.get_num_threads()} threads")
    report: dict[str, dict[str, float]] = {}
    for way in ("plain", "float32", "kdvideo"):  # in this order: huge pages, once freed, would be the other's
        for what, of_size in measure(way).items():
            small, large = of_size.values()
            ratio = statistics.median(b / a for a, b in zip(small, large, strict=True))
            numbers = {"small_ms": statistics.median(small), "large_ms": statistics.median(large), "ratio": ratio}
            report[f"{way} {what}"] = {name: round(number, 3) for name, number in numbers.items()}
            print(f"{way:8} {what:8} " + "  ".join(f"{name} {number:.3f}" for name, number in numbers.items()))
    print(simplejson.dumps(report))


if __name__ == "__main__":
    main()
