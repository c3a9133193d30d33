"""What a memory bank costs when it has more videos: NCE against it and its update, alone.

    python benchmarks/bank_scaling.py

Banks of 10,000 and of 1,000,000 videos, batch 16, 1,024 negatives, 128 numbers a vector, one thread: forward, backward
to the projections, update. The sizes take turns in one process. Before each step 64 MB are written, as a network's own
forward and backward would: without that the small bank stays in the processor's cache, where no training finds it.

Beside kdvideo's way, plain indexing in pages of the usual size; and of both the look-up of 16 x 1,024 rows in one bank.
Prints medians, and the median of the ratios of steps that followed each other, which a busy neighbour disturbs less.
The last line is one JSON object.
"""

import statistics
import time
from collections import defaultdict

import simplejson
import torch
from torch import Tensor
from torch.nn import functional as F

from kdvideo.engine.memory import keep_freed_memory, use_huge_pages
from kdvideo.losses import BankNCE, MemoryBank

SIZES = (10_000, 1_000_000)
BATCH_SIZE, NUM_NEGATIVES, DIM = 16, 1024, 128
NUM_STEPS, NUM_WARM = 300, 20
NETWORK_BYTES = 2**26


class PlainBank(MemoryBank):
    """As one would write it."""

    def look_up(self, index: Tensor) -> Tensor:
        return self.vectors[index]


def build(size: int, way: str) -> BankNCE:
    loss = BankNCE(num_videos=size, dim=DIM, num_negatives=NUM_NEGATIVES).train()
    if way == "kdvideo":
        use_huge_pages(loss)
    else:
        for bank in loss.banks:
            bank.__class__ = PlainBank
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


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    generator = torch.Generator().manual_seed(0)
    losses = {(way, size): build(size, way) for way in ("kdvideo", "plain") for size in SIZES}
    network = torch.zeros(NETWORK_BYTES, dtype=torch.uint8)
    milliseconds: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
    for number in range(NUM_WARM + NUM_STEPS):
        for (way, size), loss in losses.items():
            seconds = take_step(loss, size, generator, network)
            if number >= NUM_WARM:
                for what, value in zip(("step", "look-up"), seconds, strict=True):
                    milliseconds[way, what, size].append(1e3 * value)
    report: dict[str, dict[str, float]] = {}
    for way, what in sorted({key[:2] for key in milliseconds}):
        small, large = (milliseconds[way, what, size] for size in SIZES)
        ratio = statistics.median(b / a for a, b in zip(small, large, strict=True))
        numbers = {"small_ms": statistics.median(small), "large_ms": statistics.median(large), "ratio": ratio}
        report[f"{way} {what}"] = {name: round(number, 3) for name, number in numbers.items()}
        print(f"{way:8} {what:8} " + "  ".join(f"{name} {number:.3f}" for name, number in numbers.items()))
    print(simplejson.dumps(report))


if __name__ == "__main__":
    main()
