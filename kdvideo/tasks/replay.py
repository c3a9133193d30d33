"""Teacher replay: a frozen teacher's answers to all training samples are computed once and kept on disk.

A sample is a pure function of (seed, epoch, index), and so is the answer of a teacher in eval mode. Each student after
the first reads the answers instead of running the teacher. A teacher's views of a video are the same in all epochs.
"""

import hashlib
import json
import logging
import math
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kdvideo.data.batch import Batch
from kdvideo.files import allocate, locked, write_text
from kdvideo.host_copy import HostCopy

__all__ = ["ReplayStore", "replay_size"]

KEY_NAME = "key.json"
_CHECK = np.dtype("<u4")
_ANSWER = "answer_"  # begins the names of a batch's answers
_PLACES = "answer_places"  # a batch's key if answers are missing
_LOCK_TIMEOUT = 600.0  # seconds; the lock is held while files are created or extended
_LOOKS, _LOOK_AGAIN = 20, 0.05  # times, and seconds between two of them
logger = logging.getLogger("kdvideo")


def replay_size(shapes: Mapping[str, tuple[int, ...]], *, num_epochs: int, num_videos: int) -> int:
    """Returns the size of a store in bytes: four per value, and a checksum of four per sample and output."""
    return num_epochs * num_videos * sum(4 * math.prod(shape) + _CHECK.itemsize for shape in shapes.values())


class ReplayStore:
    """A teacher's answers by (epoch, index) or by (view, index), in memory-mapped files.

    ::

        HASH_OF_KEY/  key.json                what the answers depend on
                      pretext_logits.values   float32 [rounds, videos, ...]      one after the other
                      pretext_logits.valid    uint32  [rounds, videos]           0, or the checksum of the values

    A checksum, not a bit, marks values as valid, because the system writes mapped pages in any order. After a power
    cut, a bit could be set for values that were never written. So no run has to wait for another. Any number of runs
    may read and write at once, since they all write the same values.

    Args:
        directory: the folder of all stores.
        key: JSON of everything that an answer depends on besides (epoch or view, index). Another key: another store.
        shapes: for each output, the shape of one sample's answer. New outputs are added to a store.
        num_epochs: number of rounds, epochs or views, for which the store has room; a shorter store grows.
        num_videos: number of videos for which the store has room in each round.
        by: what a round is, the key of a batch that counts them: "epoch" or "view".
        places: for each `index` of a batch, the video's number in the store. Defaults to the same number.

    Raises:
        ValueError: the disk is full, or the store cannot be written or belongs to another key.
    """

    def __init__(
        self,
        directory: Path,
        key: Mapping[str, Any],
        *,
        shapes: Mapping[str, tuple[int, ...]],
        num_epochs: int,
        num_videos: int,
        by: Literal["epoch", "view"] = "epoch",
        places: Sequence[int] | None = None,
    ) -> None:
        text = json.dumps(key, indent=2, sort_keys=True) + "\n"
        self.key_hash = hashlib.sha256(text.encode()).hexdigest()
        self.directory = directory / self.key_hash[:16]
        self.num_videos = num_videos
        self.by: Literal["epoch", "view"] = by
        self.places = None if places is None else np.asarray(places, dtype=np.int64)
        self.shapes = dict(shapes)
        self.num_rows = num_rows = num_epochs * num_videos
        self._unwritten: tuple[np.ndarray, HostCopy] | None = None  # places of the latest answers, and the answers
        size = replay_size(shapes, num_epochs=num_epochs, num_videos=num_videos)
        logger.info("teacher replay: %.1f MB in %s", size / 1e6, self.directory)
        try:
            with locked(self.directory / ".lock", timeout=_LOCK_TIMEOUT, what=f"another run prepares {self.directory}"):
                self._claim(text)
                self._map_files()
        except OSError as error:
            raise ValueError(
                f"a replay store of {size / 1e6:.1f} MB cannot be written in {self.directory} "
                f"({error.strerror or error}): make room, set KDVIDEO_HOME to another disk or "
                + ("turn `replay` off" if by == "epoch" else "lower `views`")
            ) from None
        logger.info("teacher replay: %d of %d answers are there", self.count_answers(), num_rows)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the maps out. A worker process that is not forked maps the files itself."""
        return {**self.__dict__, "_values": None, "_valid": None, "_unwritten": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Maps the files of a store that another process has opened."""
        self.__dict__.update(state)
        self._map_files()

    def _map_files(self) -> None:
        folder, shapes, rows = self.directory, self.shapes, self.num_rows
        self._values = {
            name: _map(folder / f"{name}.values", np.dtype("<f4"), (rows, *shape)) for name, shape in shapes.items()
        }
        self._valid = {name: _map(folder / f"{name}.valid", _CHECK, (rows,)) for name in shapes}

    def are_answered(self, rounds: ArrayLike, indices: ArrayLike) -> bool:
        """Tells whether all answers to some samples are there.

        Args:
            rounds: the samples' epochs or views.
            indices: their videos, as `index` of a batch.
        """
        rows = self._rows(np.asarray(rounds, dtype=np.int64), np.asarray(indices, dtype=np.int64))
        return all(
            np.array_equal(self._valid[name][rows], _checksums(self._values[name][rows])) for name in self.shapes
        )

    def _rows(self, rounds: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return rounds * self.num_videos + (indices if self.places is None else self.places[indices])

    def look_up(self, batch: Batch) -> Batch:
        """Adds the stored answers to a batch in the host's memory, before it moves to the device.

        Args:
            batch: `epoch` or `view`, and `index`, `[B]`.

        Returns:
            The batch with `answer_NAME` `[B, ...]` for each output, in pinned memory where there is a GPU. If one is
            missing, it also has `is_answered` `[B, outputs]`, and `answer_places`, which stays in the host's memory:
            the samples' rows, and whether each output is missing.
        """
        return cast("Batch", {**batch, **{name: _pinned(value) for name, value in self._read(batch).items()}})

    def look_up_again(self, batch: Batch, found: Batch) -> Batch:
        """Returns `found`, or what is there a little later if it misses answers that a worker has seen.

        Another process may write the same answers with other last bits. Until it has written the checksums, too, they
        seem to be missing.
        """
        for _ in range(_LOOKS):
            if self.has_answers(found):
                break
            time.sleep(_LOOK_AGAIN)
            found = self.look_up(batch)
        return found

    def _read(self, batch: Batch) -> dict[str, Any]:
        """Returns what `look_up` adds to a batch, not pinned. No GPU is touched for a batch in the host's memory."""
        rows = self._rows(batch[self.by].cpu().numpy(), batch["index"].cpu().numpy())
        values = {name: mapped[rows] for name, mapped in self._values.items()}  # copies
        missing = [self._valid[name][rows] != _checksums(of_name) for name, of_name in values.items()]
        added: dict[str, Any] = {_ANSWER + name: torch.from_numpy(of_name) for name, of_name in values.items()}
        if np.any(missing):
            added["is_answered"] = torch.from_numpy(~np.stack(missing, axis=1))
            added[_PLACES] = np.stack([rows, *missing], axis=1)
        return added

    def answer(self, batch: Batch, compute: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Returns the outputs for a batch. It computes and stores missing ones.

        If one answer is missing, the whole batch is computed. A part of it would give different last bits, and a killed
        run could then not be repeated exactly. New answers are stored at the next call, so that this one need not wait
        for the device.

        Args:
            batch: what `look_up` returns, on the device. Without answers, they are looked up now.
            compute: computes the teacher's outputs for the batch.

        Returns:
            For each output, `[B, ...]` on the device of the batch.
        """
        device = batch["index"].device
        given: dict[str, Any] = dict(batch)
        if _ANSWER + next(iter(self._values)) not in batch:
            given |= self._read(batch)
        found = {name: given[_ANSWER + name].to(device, non_blocking=True) for name in self._values}
        if _PLACES not in given:
            return found
        computed = compute()
        new = {name: computed[name].detach().float() for name in found}
        self._store_later(given[_PLACES], new)
        there = given["is_answered"].to(device, non_blocking=True)
        return {
            name: torch.where(there[:, i].view(-1, *[1] * (of_name.dim() - 1)), of_name, new[name])
            for i, (name, of_name) in enumerate(found.items())
        }

    def write(self, rounds: ArrayLike, indices: ArrayLike, answers: Mapping[str, Tensor]) -> None:
        """Stores answers that are in the host's memory.

        Args:
            rounds: the samples' epochs or views.
            indices: their videos, as `index` of a batch.
            answers: for each output, float32 `[B, ...]`.
        """
        rows = self._rows(np.asarray(rounds, dtype=np.int64), np.asarray(indices, dtype=np.int64))
        for name, mapped in self._values.items():
            self._write(name, rows, answers[name].reshape(-1, *mapped.shape[1:]).numpy())

    def count_answers(self, first: int = 0, last: int | None = None) -> int:
        """Returns how many answers are there, also those of other processes.

        Args:
            first: number of the first video in the store.
            last: number of the video after the last one. Defaults to all.
        """
        valid = np.stack(list(self._valid.values())).reshape(len(self._valid), -1, self.num_videos)
        return int(np.count_nonzero((valid[..., first:last] != 0).all(axis=0)))

    def has_answers(self, batch: Batch) -> bool:
        """Tells whether `look_up` has found all answers to a batch."""
        return _ANSWER + next(iter(self._values)) in batch and _PLACES not in batch

    def flush(self) -> None:
        """Writes the answers that are on their way from the device."""
        if self._unwritten is None:
            return
        (places, copy), self._unwritten = self._unwritten, None
        rows, missing = places[:, 0], places[:, 1:].astype(bool)
        sizes = [math.prod(mapped.shape[1:]) for mapped in self._values.values()]
        answers = copy.read()
        if not (finite := answers.isfinite().all(dim=1)).all():
            wrong = rows[~finite.numpy()] % self.num_videos
            raise FloatingPointError(
                f"the teacher's answers to {len(wrong)} samples are not finite, the first to video {wrong[0]} of its "
                "list: they are not kept; compute in another precision"
            )
        for i, (name, values) in enumerate(zip(self._values, answers.split(sizes, dim=1), strict=True)):
            chosen = missing[:, i]
            self._write(name, rows[chosen], values.numpy()[chosen].reshape(-1, *self._values[name].shape[1:]))

    def _write(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values)
        checksums = _checksums(values)  # before, so that others hardly ever see the one without the other
        self._values[name][rows] = values
        self._valid[name][rows] = checksums

    def _store_later(self, places: np.ndarray, new: Mapping[str, Tensor]) -> None:
        copy = HostCopy(torch.cat([of_name.flatten(1) for of_name in new.values()], dim=1))
        self.flush()
        self._unwritten = places, copy
        if not copy.is_late:
            self.flush()

    def _claim(self, key: str) -> None:
        path = self.directory / KEY_NAME
        if not path.exists():
            write_text(path, key)
        elif path.read_text(encoding="utf-8") != key:
            raise ValueError(f"{path} is of another key than its folder's name says: remove the folder")


def _pinned(value: Any) -> Any:
    return value.pin_memory() if isinstance(value, Tensor) and torch.cuda.is_available() else value


def _checksums(values: np.ndarray) -> np.ndarray:
    """Returns the CRC-32 of each row. It is never 0, because 0 marks a missing row."""
    return np.array([zlib.crc32(row.tobytes()) or 1 for row in values], dtype=_CHECK)


def _map(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Maps the beginning of a file after allocating its blocks. New blocks hold zeros.

    Without allocated blocks, a disk that fills up would kill the process during a write to the map.
    """
    num_bytes = dtype.itemsize * math.prod(shape)
    with path.open("ab+") as stream:
        if stream.seek(0, os.SEEK_END) < num_bytes:
            allocate(stream.fileno(), num_bytes)
    return np.memmap(path, dtype=dtype, mode="r+", shape=shape)
