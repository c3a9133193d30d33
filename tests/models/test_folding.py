"""BatchNorm folded into convolutions: the same outputs, and only where nothing else sees what lies between."""

import pytest
import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.folding import fold_batch_norm
from kdvideo.models.pcl import build_backbone

SMALL = ClipSpec(clip_len=8, size=32)


def with_statistics(module: nn.Module) -> nn.Module:
    """In eval mode, each BatchNorm with statistics and an affine map that change something."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            for tensor, low, high in (
                (part.running_mean, -0.5, 0.5),
                (part.running_var, 0.5, 2.0),
                (part.weight.data, 0.5, 1.5),
                (part.bias.data, -0.5, 0.5),
            ):
                tensor.uniform_(low, high, generator=generator)
    return module.eval()


@pytest.mark.parametrize(
    ("name", "kwargs", "num_norms"),
    [
        ("r3d_10", {"width": 8, "clip_spec": SMALL}, 12),
        ("r2plus1d_10", {"width": 8, "clip_spec": SMALL}, 24),
        ("c3d", {"width": 8, "clip_spec": SMALL}, 8),
        ("mc3_18", {"clip_spec": SMALL}, 20),  # its convolutions are a class of torchvision's
        ("s3d", {"clip_spec": ClipSpec(clip_len=16, size=64)}, 77),  # cannot be traced as a whole
        ("efficient_x3d_xs", {}, 84),
    ],
)
@torch.no_grad()
def test_same_features(name: str, kwargs: dict, num_norms: int):
    """All BatchNorms go; features move by rounding only (measured: 1e-7 to 3e-7)."""
    backbone = with_statistics(build_backbone(name, **kwargs))
    spec = backbone.clip_spec
    clip = torch.randn(1, 3, spec.clip_len, spec.size, spec.size, generator=torch.Generator().manual_seed(1))
    before = backbone(clip)
    assert fold_batch_norm(backbone) == num_norms
    assert not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in backbone.modules())
    assert (backbone(clip) - before).norm() < 1e-5 * before.norm()


class _Net(nn.Module):
    def __init__(self, *, track: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 3, 1)
        self.norm = nn.BatchNorm3d(3, track_running_stats=track)


class _SeenByTwo(_Net):
    def forward(self, clip: Tensor) -> Tensor:
        between = self.conv(clip)
        return self.norm(between) + between


class _UsedTwice(_Net):
    def forward(self, clip: Tensor) -> Tensor:
        return self.norm(self.conv(self.conv(clip)))


class _NormFirst(_Net):
    def forward(self, clip: Tensor) -> Tensor:
        return self.conv(self.norm(clip))


class _OwnStatistics(_Net):
    def __init__(self) -> None:
        super().__init__(track=False)

    def forward(self, clip: Tensor) -> Tensor:
        return self.norm(self.conv(clip))


class _DependsOnValues(_Net):
    def forward(self, clip: Tensor) -> Tensor:
        return self.norm(self.conv(clip)) if clip.sum() > 0 else clip


@pytest.mark.parametrize("net", [_SeenByTwo, _UsedTwice, _NormFirst, _OwnStatistics, _DependsOnValues])
@torch.no_grad()
def test_left_alone(net: type[nn.Module]):
    """Where folding would change the result, or cannot be told, nothing is touched."""
    module = with_statistics(net())
    clip = torch.rand(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    before = module(clip)
    assert fold_batch_norm(module) == 0
    assert torch.equal(module(clip), before)
