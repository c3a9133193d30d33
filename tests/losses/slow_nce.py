"""The contrastive losses as loops, written from PCL (arXiv 2010.15464, section 3.2) and CMC (arXiv 1906.05849)."""

import math

import torch
from torch.nn.functional import normalize

# Losses here lie between 0 and about 60 and are sums of fewer than 100 float64 terms, so both sides round by some 1e-13
# at most; 1e-6 leaves that far behind, while a wrong temperature, sign, mean or negative moves a loss by 1e-2 and more.
ATOL = 1e-6
FLOAT16 = 2**-11  # how far a float16 is from what it was rounded from, at most, as a share of it

NUM_VIDEOS = 9
DIM = 6
INDEX = torch.tensor([4, 0, 8])
NEGATIVES = torch.tensor([[1, 2, 3, 8], [8, 4, 6, 5], [0, 7, 1, 2]])


def unit(*shape, seed=0):
    return normalize(torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=-1)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def cross_entropy(logits, target):
    """-log of the target's share of the exponentials, shifted by the greatest logit against overflow."""
    top = max(logits)
    return math.log(sum(math.exp(logit - top) for logit in logits)) + top - logits[target]


def slow_bank_nce(z, banks, index, negatives, temperature):
    """Sum over the two clips of -1/B sum_i log(exp(z_i.v_i/t) / (exp(z_i.v_i/t) + sum_k exp(z_i.v_k/t)))."""
    total = 0.0
    for anchor, bank in ((0, banks[1]), (1, banks[0])):
        for b in range(len(z)):
            candidates = [index[b], *negatives[b]]
            total += cross_entropy([dot(z[b][anchor], bank[video]) / temperature for video in candidates], 0) / len(z)
    return total


def slow_batch_nce(z, temperature):
    """The first clips look for their partner among the second clips of the batch, and the other way round."""
    size = len(z)
    total = 0.0
    for b in range(size):
        total += cross_entropy([dot(z[b][0], z[other][1]) / temperature for other in range(size)], b) / size
        total += cross_entropy([dot(z[other][0], z[b][1]) / temperature for other in range(size)], b) / size
    return total
