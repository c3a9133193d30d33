"""Decodes evaluation clips once, keeps them on disk, and computes a network's outputs for them."""

import logging
import math
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from kdvideo.data.clip_spec import ClipSpec, normalise_clips
from kdvideo.data.loader import gather_shares
from kdvideo.data.transfer import transfer_to
from kdvideo.device import float32_convolutions
from kdvideo.distributed import is_main
from kdvideo.files import allocate

__all__ = ["AUTO", "CachedClips", "clips_of_gpu", "clips_to_load", "compute_outputs"]

AUTO = 0  # as a number of clips in one forward pass: what suits the device
_ON_CPU = 32  # a larger batch is no faster there
_FULL_SIZE = 16 * 112 * 112  # pixels of a clip
_CLIP_BYTES = 1536 << 20  # for each clip of this size; ten times what C3D needs, as several runs share a GPU
_MOST_CLIPS = 1024
_HELD_BYTES = 256 << 20  # of outputs, before the host waits for them

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
        """Yields the clips batch by batch, uint8 `[B, S, ...]`, in pinned memory where there is a GPU."""
        for start in range(0, len(self._clips), self.batch_size):
            clips = torch.from_numpy(self._clips[start : start + self.batch_size])
            yield clips.pin_memory() if torch.cuda.is_available() else clips.clone()


@torch.inference_mode()
def compute_outputs(
    model: nn.Module,
    batches: Iterable[Tensor],
    *,
    output: Callable[[Tensor], Tensor],
    spec: ClipSpec,
    device: torch.device,
    batch_size: int = AUTO,
) -> Tensor:
    """Computes a model's outputs for the S clips or tuples of each sample in eval mode, in fp32 also on a GPU.

    On a GPU, batches are put together to larger ones and copied beside the computation. The outputs come to the host
    256 MB at a time.

    Args:
        model: the network. It is put into eval mode, and back into its mode afterwards.
        batches: uint8 `[B, S, ...]`, the share of this process.
        output: maps prepared clips `[B * S, ...]` to `[B * S, D]`. It is usually the model or a part of it.
        spec: the model's input convention.
        device: the model's device.
        batch_size: approximate number of clips in one forward pass on a GPU; `AUTO` for `clips_of_gpu`. On the CPU, a
            batch is a forward pass.

    Returns:
        `[samples, S, D]` on the CPU, from the shares of all processes.

    Raises:
        FloatingPointError: an output is infinite or NaN.
    """
    was_training = model.training
    model.eval()
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1, 1) for values in (spec.mean, spec.std))
    prepare = partial(normalise_clips, mean=mean, std=std, modality=spec.modality)
    if device.type == "cuda":
        batches = _larger_batches(batches, batch_size or clips_of_gpu(spec, device), device=device)
    with float32_convolutions(device, tf32=False):
        outputs = (output(prepare(clips.to(device).flatten(0, 1))).unflatten(0, clips.shape[:2]) for clips in batches)
        held = _put_together(outputs, _HELD_BYTES, size=attrgetter("nbytes"))
        on_host = [torch.cat(parts).cpu() for parts in held]
    model.train(was_training)
    gathered = gather_shares(torch.cat(on_host) if on_host else torch.empty(0))
    if not gathered.isfinite().all():
        raise FloatingPointError(
            "the network's outputs are not finite: there is nothing to measure, and a run keeps the checkpoint before; "
            "start again with a lower learning rate or with clipped gradients"
        )
    return gathered


def clips_to_load(batch_size: int) -> int:
    """Returns how many clips a loader puts into a batch. For `AUTO`, these are a forward pass on the CPU."""
    return batch_size or _ON_CPU


def clips_of_gpu(spec: ClipSpec, device: torch.device) -> int:
    """Returns how many clips a GPU takes in one forward pass: more of small clips, and of a large memory.

    It does not depend on what else is on the GPU, so that a run and its repetition round alike.

    ::

        80 GB    53 clips of 16 x 112 x 112, 326 of 8 x 64 x 64        24 GB    32, 98

    Args:
        spec: what a clip is.
        device: a GPU.
    """
    memory = torch.cuda.get_device_properties(device).total_memory
    clips = memory / _CLIP_BYTES * _FULL_SIZE / (spec.clip_len * spec.size**2)
    return max(_ON_CPU, min(int(clips), _MOST_CLIPS))


def _larger_batches(batches: Iterable[Tensor], num_clips: int, *, device: torch.device) -> Iterator[Tensor]:
    """Yields on a GPU what `batches` hold, about `num_clips` at a time.

    The host is at most three batches ahead, because each is pinned until it is copied.
    """
    transfer, under_way = transfer_to(device), deque[torch.cuda.Event]()
    for parts in _put_together(batches, num_clips, size=_num_clips):
        yield torch.cat([transfer({"clips": part})["clips"] for part in parts])
        under_way.append(torch.cuda.current_stream(device).record_event())
        if len(under_way) == 3:
            under_way.popleft().synchronize()


def _num_clips(batch: Tensor) -> int:
    """Returns the number of clips in `[B, S, .., C, T, H, W]`."""
    return math.prod(batch.shape[:-4])


def _put_together(tensors: Iterable[Tensor], least: int, *, size: Callable[[Tensor], int]) -> Iterator[list[Tensor]]:
    """Yields neighbours in lists whose sizes sum to `least` or more, but for the last list."""
    parts: list[Tensor] = []
    total = 0
    for tensor in tensors:
        parts.append(tensor)
        total += size(tensor)
        if total >= least:
            yield parts
            parts, total = [], 0
    if parts:
        yield parts


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
