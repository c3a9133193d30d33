"""Decodes evaluation clips once, keeps them on disk, and computes a network's outputs for them."""

import logging
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.data.loader import gather_shares
from kdvideo.distributed import is_main
from kdvideo.files import allocate

__all__ = ["CachedClips", "compute_outputs"]

logger = logging.getLogger("kdvideo")


class CachedClips:
    """All batches of a loader of fixed clips, decoded once into an unnamed memory-mapped file.

    The operating system caches as much of the file as memory allows. It frees the disk space when the process ends.
    With several processes, each one stores the clips of its own share, and all have all labels.

    Args:
        loader: a loader whose batches have `clips`, uint8 `[B, S, ...]`, and a label.
        directory: a folder on the disk that holds the file.
        label: the key of the label, e.g. "pretext_label".
    """

    def __init__(self, loader: DataLoader, *, directory: Path, label: str) -> None:
        self.batch_size = loader.batch_size or 1
        num_samples = len(loader.dataset)  # type: ignore[arg-type]
        labels: list[Tensor] = []
        self._clips = np.empty(0, dtype=np.uint8)  # for a share without samples
        start = 0
        for batch in tqdm(loader, desc="decoding evaluation clips", leave=False, disable=None if is_main() else True):
            clips = batch["clips"]
            if start == 0:
                self._clips = _memory_map(directory, (num_samples, *clips.shape[1:]))
            self._clips[start : start + len(clips)] = clips.numpy()
            labels.append(batch[label])
            start += len(clips)
        self.labels = gather_shares(torch.cat(labels) if labels else torch.empty(0))

    def __iter__(self) -> Iterator[Tensor]:
        """Yields the clips batch by batch, uint8 `[B, S, ...]`."""
        for start in range(0, len(self._clips), self.batch_size):
            yield torch.from_numpy(self._clips[start : start + self.batch_size].copy())


@torch.inference_mode()
def compute_outputs(
    model: nn.Module,
    batches: Iterable[Tensor],
    *,
    output: Callable[[Tensor], Tensor],
    spec: ClipSpec,
    device: torch.device,
) -> Tensor:
    """Computes a model's outputs for the S clips or tuples of each sample in eval mode.

    Args:
        model: the network. It is put into eval mode, and back into its mode afterwards.
        batches: uint8 `[B, S, ...]`, the share of this process.
        output: maps prepared clips `[B * S, ...]` to `[B * S, D]`. It is usually the model or a part of it.
        spec: the model's input convention.
        device: the model's device.

    Returns:
        `[samples, S, D]` on the CPU, from the shares of all processes.

    Raises:
        FloatingPointError: an output is infinite or NaN.
    """
    was_training = model.training
    model.eval()
    outputs = []
    for clips in batches:
        prepared = prepare_clips(clips.to(device).flatten(0, 1), spec)
        outputs.append(output(prepared).unflatten(0, clips.shape[:2]).cpu())
    model.train(was_training)
    gathered = gather_shares(torch.cat(outputs) if outputs else torch.empty(0))
    if not gathered.isfinite().all():
        raise FloatingPointError(
            "the network's outputs are not finite: there is nothing to measure, and a run keeps the checkpoint before; "
            "start again with a lower learning rate or with clipped gradients"
        )
    return gathered


def _memory_map(directory: Path, shape: tuple[int, ...]) -> np.ndarray:
    num_bytes = math.prod(shape)
    logger.info("evaluation clips: %.2f GB in %s while the run lasts", num_bytes / 1e9, directory)
    with tempfile.TemporaryFile(dir=directory) as stream:
        try:
            # If its blocks were not allocated, a full disk would kill the process during a write to the map.
            allocate(stream.fileno(), num_bytes)
        except OSError as error:
            raise ValueError(
                f"{directory} has no room for {num_bytes / 1e9:.1f} GB of evaluation clips ({error.strerror}): lower "
                "`tuples_per_video` and `clips_per_video` or choose another `directory`"
            ) from None
        return np.memmap(stream, dtype=np.uint8, mode="r+", shape=shape)
