"""Weights of losses that are learnt beside the network."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["LearntWeights"]


class LearntWeights(nn.Module):
    """Weights several losses by their learnt uncertainty (Kendall et al., arXiv 1705.07115, equation 10).

    `sum of weight * (exp(-s) * loss + s / 2)`, where `s` is the logarithm of a variance, one for each loss. A loss
    that stays large gets a small weight. At the best `s`, `exp(-s)` is `1 / (2 * loss)`: then losses of any size pull
    alike. All `s` begin at 0, where the gradients are those of fixed weights.

    Args:
        weights: the fixed weight of each loss, by name, by which its term is multiplied.

    Example:
        >>> LearntWeights({"a": 1.0, "b": 0.5})({"a": torch.tensor(2.0), "b": torch.tensor(4.0)}).item()
        4.0
    """

    takes_weight_decay = False  # an `s` of 0 says nothing simple: it is where the loss is 1/2

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.log_variances = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in weights})

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Returns the weighted sum of losses by name, each the mean over a batch `[B, ...]`."""
        terms = []
        for name, weight in self.weights.items():
            log_variance = self.log_variances[name]
            terms.append(weight * (torch.exp(-log_variance) * losses[name] + log_variance / 2))
        return torch.stack(terms).sum()

    def current(self) -> dict[str, Tensor]:
        """Returns the factor of each loss, for the log."""
        return {name: weight * torch.exp(-self.log_variances[name]).detach() for name, weight in self.weights.items()}
