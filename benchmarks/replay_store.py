"""How large a replay store of UCF101 and 100 epochs is, computed and on disk, and how long a batch takes in it.

    python benchmarks/replay_store.py [FOLDER]

9,537 training videos, 100 epochs, batches of 16; logits of VCP alone, and with 3 features of 512. FOLDER needs 6 GB for
a moment; unless given, it is the system's temporary one. A line a store.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from kdvideo.tasks.replay import ReplayStore, replay_size

STORES = {"logits": {"pretext_logits": (5,)}, "logits, features": {"pretext_logits": (5,), "feature": (3, 512)}}
SIZE = {"num_epochs": 100, "num_videos": 9537}
BATCH_SIZE, NUM_BATCHES = 16, 500


def seconds_a_batch(store: ReplayStore, outputs: dict[str, torch.Tensor]) -> float:
    """Median time of an answer, over batches of the first epoch."""
    seconds = []
    for start in range(0, NUM_BATCHES * BATCH_SIZE, BATCH_SIZE):
        index = torch.arange(start, start + BATCH_SIZE)
        started = time.perf_counter()
        store.answer({"epoch": torch.zeros_like(index), "index": index}, lambda: outputs)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    """Makes, fills in part, reads and removes each store."""
    for name, shapes in STORES.items():
        outputs = {key: torch.randn(BATCH_SIZE, *shape) for key, shape in shapes.items()}
        with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
            store = ReplayStore(Path(folder), {}, shapes=shapes, **SIZE)
            writing = seconds_a_batch(store, outputs)
            reading = seconds_a_batch(store, outputs)
            on_disk = sum(path.stat().st_blocks * 512 for path in store.directory.iterdir())
        print(
            f"{name:17} computed {replay_size(shapes, **SIZE) / 1e6:.1f} MB, on disk {on_disk / 1e6:.1f} MB; a batch "
            f"of {BATCH_SIZE}: recorded in {1e3 * writing:.2f} ms, read in {1e3 * reading:.2f} ms"
        )


if __name__ == "__main__":
    main()
