"""Distillation losses that compare the maps of student and teacher place by place."""

from typing import ClassVar, Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from kdvideo.losses.distill import DistillationLoss
from kdvideo.registry import LOSSES

__all__ = ["TokenDistillation", "TokenMSE", "TokenRelations", "match_grids", "resample_tokens"]


def resample_tokens(tokens: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Resamples maps in time and space: linear along each axis, where each token is the middle of its part.

    It is `interpolate(mode="trilinear", align_corners=False)`. Where an axis gets shorter, each result is a weighted
    mean of all tokens around it, as with `antialias=True`, which the library has for pictures only. Its gradient has
    the same bits each time, also on a GPU.

    Args:
        tokens: `[..., t, h, w]`.
        grid: the new `(t', h', w')`.

    Returns:
        `[..., t', h', w']`. The same tensor where nothing changes.

    Example:
        >>> resample_tokens(torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 4, 1, 1), (2, 1, 1)).flatten()
        tensor([0.7143, 2.2857])
    """
    for axis, size in zip((-3, -2, -1), grid, strict=True):
        if tokens.shape[axis] != size:
            weights = _interpolation(tokens.shape[axis], size, like=tokens)
            tokens = (tokens.transpose(axis, -1) @ weights.T).transpose(axis, -1)
    return tokens


def match_grids(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Resamples two maps `[..., t, h, w]` to one grid, that of the coarser one along each axis.

    Example:
        >>> one, other = match_grids(torch.zeros(2, 4, 2, 7, 7), torch.zeros(2, 9, 8, 14, 5))
        >>> one.shape, other.shape
        (torch.Size([2, 4, 2, 7, 5]), torch.Size([2, 9, 2, 7, 5]))
    """
    time, height, width = (min(sizes) for sizes in zip(one.shape[-3:], other.shape[-3:], strict=True))
    return resample_tokens(one, (time, height, width)), resample_tokens(other, (time, height, width))


@LOSSES.register_as("token_distillation")
class TokenDistillation(DistillationLoss):
    """`1 - cosine` between the student's adapted map and the teacher's tokens, place by place.

    It is averaged over clips and places, and lies in [0, 2]. A linear layer, the same at all places, maps the student's
    channels to the teacher's (hints: Romero et al., arXiv 1412.6550; AM-RADIO, arXiv 2312.06709, compares the tokens of
    image transformers so). Both maps are resampled to the coarser of the two grids along each axis.

    Example:
        >>> teacher = torch.randn(2, 1, 8, 4, 7, 7)
        >>> TokenDistillation()(3 * teacher, teacher).abs().item() < 1e-5
        True
    """

    output: ClassVar[str] = "tokens"
    adapts: ClassVar[bool] = True

    def forward(self, student_tokens: Tensor, teacher_tokens: Tensor) -> Tensor:
        """Computes the mean, a scalar.

        Args:
            student_tokens: the adapted map `[B, N, D, t, h, w]`.
            teacher_tokens: `[B, N, D, t', h', w']`; they get no gradient.
        """
        student, teacher = match_grids(student_tokens, teacher_tokens.detach())
        return 1 - F.cosine_similarity(student, teacher, dim=2).mean()


@LOSSES.register_as("token_mse")
class TokenMSE(DistillationLoss):
    """Mean squared difference between the student's adapted map and the teacher's tokens.

    As `TokenDistillation`, but the tokens' lengths count, too (LightlyTrain's distillation v2 for images). The loss has
    the square of the teacher's unit, so its weight depends on the teacher.

    Example:
        >>> teacher = torch.randn(2, 1, 8, 4, 7, 7)
        >>> TokenMSE()(teacher + 2, teacher).item()
        4.0
    """

    output: ClassVar[str] = "tokens"
    adapts: ClassVar[bool] = True

    def forward(self, student_tokens: Tensor, teacher_tokens: Tensor) -> Tensor:
        """Computes the mean over maps `[B, N, D, t, h, w]`, a scalar; see `TokenDistillation.forward`."""
        return F.mse_loss(*match_grids(student_tokens, teacher_tokens.detach()))


@LOSSES.register_as("token_relations")
class TokenRelations(DistillationLoss):
    """KL divergence between how alike teacher and student find each two places of a clip.

    For each token of a clip, `KL(softmax(teacher_cosines / tau) || softmax(student_cosines / tau))` over all tokens of
    the same clip, itself among them, averaged over tokens and clips. It is the local loss of LightlyTrain's
    distillation v3 without its linear layer: each network is compared with itself only, so their channels need not be
    equal in number. Both maps are resampled as in `TokenDistillation`.

    Args:
        temperature: tau, above 0.

    Example:
        >>> loss, teacher = TokenRelations(), torch.randn(2, 1, 8, 2, 4, 4)
        >>> loss(-3 * teacher, teacher).abs().item() < 1e-5, loss(teacher.flip(2).relu(), teacher).item() > 0
        (True, True)
    """

    output: ClassVar[str] = "tokens"

    def __init__(self, *, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature

    @classmethod
    def from_config(cls, cfg: CfgNode, *, student_dim: int, teacher_dim: int) -> Self:
        """Builds the loss with TEACHER.SIMILARITY_TEMPERATURE."""
        return cls(temperature=cfg.TEACHER.SIMILARITY_TEMPERATURE)

    def forward(self, student_tokens: Tensor, teacher_tokens: Tensor) -> Tensor:
        """Computes the divergence, a scalar.

        Args:
            student_tokens: the map `[B, N, D, t, h, w]`.
            teacher_tokens: `[B, N, D', t', h', w']`; they get no gradient.
        """
        student, teacher = (
            self._log_probabilities(tokens) for tokens in match_grids(student_tokens, teacher_tokens.detach())
        )
        return F.kl_div(student, teacher, reduction="batchmean", log_target=True)

    def _log_probabilities(self, tokens: Tensor) -> Tensor:
        """Returns how alike a token is to each of its clip. `[B, N, D, t, h, w]` -> `[B * N * P, P]`, P = t h w."""
        directions = F.normalize(tokens.flatten(3).flatten(0, 1), dim=1)
        # c = clip, d = channel, p, q = places
        cosines = torch.einsum("cdp,cdq->cpq", directions, directions)
        return (cosines.flatten(0, 1) / self.temperature).log_softmax(dim=1)


def _interpolation(before: int, after: int, *, like: Tensor) -> Tensor:
    """Returns the weights of `before` places in each of `after`, `[after, before]`. Each row adds up to 1."""
    spread = max(before / after, 1.0)  # places around the middle that count, to either side
    middles = (torch.arange(after, device=like.device, dtype=like.dtype) + 0.5) * (before / after) - 0.5
    distances = (middles[:, None] - torch.arange(before, device=like.device, dtype=like.dtype)).abs()
    weights = (1 - distances / spread).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
