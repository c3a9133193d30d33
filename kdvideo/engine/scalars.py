"""The numbers of a step, which are read one step late, so that the host need not wait for the device."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor

from kdvideo.distributed import mean_over_ranks
from kdvideo.engine.step import GRAD_NORM, LOSS_SCALE
from kdvideo.host_copy import HostCopy
from kdvideo.tasks.task import SHARE_OF

__all__ = ["SKIPPED", "StepScalars", "epoch_means"]

SKIPPED = "skipped_steps"  # number of an epoch's steps whose fp16 gradient was not finite
_SMALLEST_SCALE = 1e-4  # smallest scale of the loss, as fairseq's min_loss_scale; below it, something else is wrong


class StepScalars(Mapping[str, float]):
    """A step's numbers, averaged over all ranks. They are on their way from the device to the host.

    The copy is the only one of a step, and nobody waits for it. A look at the numbers does: on a GPU it waits until the
    step is done. The numbers of an earlier step are there already.

    Args:
        results: what `TrainStep` returns.
        place: which step it is, in words.
    """

    def __init__(self, results: Mapping[str, Tensor], *, place: str) -> None:
        self.place = place
        self._names = tuple(results)
        values = mean_over_ranks(torch.stack(list(results.values())))
        self._copy = HostCopy(values)
        self.is_late = self._copy.is_late

    def __getitem__(self, name: str) -> float:
        return self._logged[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._logged)

    def __len__(self) -> int:
        return len(self._logged)

    def check(self, describe_samples: Callable[[], str]) -> None:
        """Checks that the step was one on finite numbers.

        Where the loss is scaled, the gradient may be infinite: fp16's scaler skips such a step and lowers its scale.

        Args:
            describe_samples: says in words which samples the step was on.

        Raises:
            FloatingPointError: loss or gradient is not finite, or the scale has become too small.
        """
        scaled = LOSS_SCALE in self._values
        if not all(math.isfinite(self._values[name]) for name in (("loss",) if scaled else ("loss", GRAD_NORM))):
            parts = ", ".join(f"{name} {value:.4g}" for name, value in self._values.items() if name != LOSS_SCALE)
            raise FloatingPointError(
                f"loss or gradient is not finite at {self.place} ({parts}) with {describe_samples()}; the "
                "checkpoint before is kept: start again with a lower SOLVER.BASE_LR or with SOLVER.CLIP_GRADIENTS"
            )
        if scaled and self._values[LOSS_SCALE] < _SMALLEST_SCALE:
            raise FloatingPointError(
                f"gradients in fp16 are not finite up to {self.place}, however small the loss is scaled; the "
                "checkpoint before is kept: start again with SOLVER.AMP bf16 or fp32, or with a lower SOLVER.BASE_LR"
            )

    @cached_property
    def _values(self) -> dict[str, float]:
        return dict(zip(self._names, self._copy.read().tolist(), strict=True))

    @cached_property
    def _logged(self) -> dict[str, float]:
        return _over_shares(self.terms)

    @cached_property
    def terms(self) -> dict[str, float]:
        """Returns what an epoch adds up. A mean over some of the samples is one after `epoch_means` alone."""
        if math.isfinite(self._values[GRAD_NORM]):
            return {name: value for name, value in self._values.items() if name != LOSS_SCALE}
        kept = {name: value for name, value in self._values.items() if name not in (GRAD_NORM, LOSS_SCALE)}
        return {**kept, SKIPPED: 1.0}


def epoch_means(sums: Mapping[str, float], num_steps: int) -> dict[str, float]:
    """Returns an epoch's means over its steps. The gradient norm is averaged over the steps that were not skipped."""
    taken = num_steps - int(sums.get(SKIPPED, 0))
    means = {name: total / num_steps for name, total in sums.items() if name not in (GRAD_NORM, SKIPPED)}
    means |= {GRAD_NORM: sums[GRAD_NORM] / taken} if GRAD_NORM in sums else {}
    return _over_shares(means) | ({SKIPPED: sums[SKIPPED]} if SKIPPED in sums else {})


def _over_shares(terms: Mapping[str, float]) -> dict[str, float]:
    """Divides what is about some of the samples by their share; see `Task.forward`. Leaves it out if there are none."""
    shares = {name.removeprefix(SHARE_OF): value for name, value in terms.items() if name.startswith(SHARE_OF)}
    logged = {name: value for name, value in terms.items() if not name.startswith(SHARE_OF) and shares.get(name, 1)}
    return {name: value / shares[name] if name in shares else value for name, value in logged.items()}
