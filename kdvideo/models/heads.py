"""Heads on a backbone's features: for pretexts, projection, distillation and classification."""

from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.errors import first_line
from kdvideo.former_names import former_attributes
from kdvideo.registry import HEADS

__all__ = ["ClassificationHead", "DistillationHead", "OrderHead", "PretextHead", "ProjectionHead", "build_head"]

__getattr__ = former_attributes(__name__)

HEADS.refuse("pcl_head", reason="a PCLModel has two heads: kdvideo.models.build_pcl_model puts them on a backbone")


@HEADS.register_as("pretext_head")
class PretextHead(nn.Module):
    """One linear layer over a tuple's concatenated features.

    Tao et al., arXiv 2010.15464, section 3.1.

    Args:
        in_features: D, the length of a clip's feature.
        num_classes: labels of the pretext. Defaults to VCP's 5.
        tuple_len: N, the clips of a tuple.

    Example:
        >>> head = PretextHead(512, num_classes=5, tuple_len=3)
        >>> head(torch.randn(2, 3, 512)).shape
        torch.Size([2, 5])
    """

    def __init__(self, in_features: int, *, num_classes: int = 5, tuple_len: int = 3) -> None:
        super().__init__()
        self.tuple_len = tuple_len
        self.num_classes = num_classes
        self.fc = nn.Linear(tuple_len * in_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Computes the logits of a tuple. `[B, N, D]` -> `[B, num_classes]`."""
        return self.fc(features.flatten(1))


@HEADS.register_as("order_head")
class OrderHead(nn.Module):
    """Compares the clips of a tuple pair by pair. Xu et al., CVPR 2019.

    ::

        f1 f2   f1 f3   f2 f3        every pair of features, concatenated
          |       |       |
         Linear, ReLU: the same for all pairs
           \\      |      /
          Linear over the three         -> one logit per order

    Args:
        in_features: D, the length of a clip's feature.
        num_classes: number of orders to distinguish. Defaults to VCOP's 3! = 6.
        tuple_len: N, the clips of a tuple.

    Example:
        >>> head = OrderHead(512, num_classes=6, tuple_len=3)
        >>> head(torch.randn(2, 3, 512)).shape
        torch.Size([2, 6])
    """

    def __init__(self, in_features: int, *, num_classes: int = 6, tuple_len: int = 3) -> None:
        super().__init__()
        self.tuple_len = tuple_len
        self.num_classes = num_classes
        self.pairs = tuple(combinations(range(tuple_len), 2))
        self.pair_fc = nn.Linear(2 * in_features, in_features)
        self.fc = nn.Linear(len(self.pairs) * in_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Computes the logits of a tuple. `[B, N, D]` -> `[B, num_classes]`."""
        clips = features.unbind(dim=1)  # a list of numbers as an index would be copied to the device
        pairs = torch.stack([torch.cat((clips[i], clips[j]), dim=1) for i, j in self.pairs], dim=1)  # [B, pairs, 2D]
        return self.fc(torch.relu(self.pair_fc(pairs)).flatten(1))


@HEADS.register_as("projection_head")
class ProjectionHead(nn.Module):
    """Maps features to the unit vectors that contrastive losses compare.

    It applies Linear, ReLU, Linear and a division by the length, as in arXiv 2010.15464, section 3.2.

    Args:
        in_features: D, the length of a clip's feature.
        out_features: E, the length of a projection.

    Example:
        >>> z = ProjectionHead(512, out_features=128)(torch.randn(2, 2, 512))
        >>> z.shape, bool(torch.allclose(z.norm(dim=-1), torch.ones(2, 2)))
        (torch.Size([2, 2, 128]), True)
    """

    def __init__(self, in_features: int, *, out_features: int = 128) -> None:
        super().__init__()
        self.out_features = out_features
        self.mlp = nn.Sequential(
            nn.Linear(in_features, in_features),
            nn.ReLU(inplace=True),
            nn.Linear(in_features, out_features),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Computes projections of length 1. `[..., D]` -> `[..., E]`."""
        return F.normalize(self.mlp(features), dim=-1)


@HEADS.register_as("distillation_head")
class DistillationHead(nn.Linear):
    """A linear adapter from student to teacher features.

    It is thrown away after training.

    Args:
        in_features: D, the length of the student's features.
        out_features: D', the length of the teacher's.

    Example:
        >>> DistillationHead(512, out_features=2048)(torch.randn(2, 3, 512)).shape
        torch.Size([2, 3, 2048])
    """

    def __init__(self, in_features: int, *, out_features: int) -> None:
        super().__init__(in_features, out_features)


@HEADS.register_as("classification_head")
class ClassificationHead(nn.Linear):
    """A linear classifier.

    Args:
        in_features: D, the length of a clip's feature.
        num_classes: number of classes, each with one logit.

    Example:
        >>> ClassificationHead(512, num_classes=101)(torch.randn(2, 512)).shape
        torch.Size([2, 101])
    """

    def __init__(self, in_features: int, *, num_classes: int) -> None:
        super().__init__(in_features, num_classes)


def build_head(name: str, in_features: int, *, shape: tuple[int, ...], num_classes: int, **options: Any) -> nn.Module:
    """Builds a registered head and tries it with two features.

    Args:
        name: a name of HEADS.
        in_features: D, the length of a feature.
        shape: what lies between batch and feature: `()` for a classifier, `(N,)` for a tuple's head.
        num_classes: the length of the logits.
        options: other arguments of the head.

    Raises:
        ValueError: the name is unknown, or the object does not do what `HEADS.__doc__` says.
    """
    head = HEADS.get(name)(in_features, num_classes=num_classes, **options)
    if not isinstance(head, nn.Module):
        raise ValueError(f"head {name!r} has built a {type(head).__name__}: it must be a torch.nn.Module")
    missing = [option for option in ("num_classes", "tuple_len") if shape and not hasattr(head, option)]
    if missing:
        raise ValueError(f"head {name!r} lacks {', '.join(missing)}: keep it as an attribute (self.{missing[0]} = ..)")
    was_training, size = head.training, (2, *shape, in_features)
    try:
        with torch.no_grad():
            logits = head.eval()(torch.zeros(size))
    except Exception as error:
        raise ValueError(
            f"head {name!r} cannot take features {list(size)} ({type(error).__name__}: {first_line(error)}): it must "
            f"map them to logits [2, {num_classes}]"
        ) from None
    head.train(was_training)
    found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if found != [2, num_classes]:
        raise ValueError(f"head {name!r} maps features {list(size)} to {found}: it must be logits [2, {num_classes}]")
    return head
