"""Max pooling of windows that do not overlap equals PyTorch's to the bit, ties and NaNs included."""

import pytest
import torch
from torch import Tensor, nn

from kdvideo.engine import pooling
from kdvideo.engine.pooling import fuse_pooling, pool_apart

CASES = {
    "space": ((1, 2, 2), (3, 4, 6)),
    "time and space": ((2, 2, 2), (4, 4, 2)),
    "rest at the end": ((2, 2, 3), (5, 5, 8)),
    "one": ((1, 1, 1), (2, 3, 2)),
}


def differentiate(output: Tensor, clip: Tensor) -> tuple[Tensor, Tensor]:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output.dtype)
    return output, torch.autograd.grad(output, clip, weights)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str, dtype: torch.dtype):
    """Of four values, so most windows have ties, with NaNs and infinities."""
    window, size = CASES[name]
    values = torch.tensor([0.0, 1.0, 2.0, -1.0])[torch.randint(0, 4, (2, 3, *size))]
    for odd in (None, torch.nan, -torch.inf):
        if odd is not None:
            values = torch.where(torch.rand_like(values) < 0.4, odd, values)
        # Contiguous: with innermost channels, PyTorch 2.14 on a CPU sends the gradient of a window of -inf elsewhere.
        plain = values.to(dtype).requires_grad_()
        expected = differentiate(nn.functional.max_pool3d(plain, window), plain)
        clip = plain.detach().contiguous(memory_format=torch.channels_last_3d).requires_grad_()
        found = differentiate(pool_apart(clip, window), clip)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        assert found[1].is_contiguous(memory_format=torch.channels_last_3d)


def test_which_are_replaced(monkeypatch: pytest.MonkeyPatch):
    """Windows that overlap or are padded stay; so does everything on a CPU; the compiler sees one graph."""
    kept = [
        nn.MaxPool3d(3, stride=2),
        nn.MaxPool3d(2, padding=1),
        nn.MaxPool3d(2, ceil_mode=True),
        nn.MaxPool3d(2, dilation=2),
        nn.MaxPool3d(4),
        nn.AvgPool3d(2),
    ]
    network = nn.Sequential(nn.MaxPool3d((1, 2, 2)), nn.MaxPool3d(2, 2), *kept)
    assert fuse_pooling(network) == ["0", "1"]
    clip, calls = torch.randn(1, 2, 4, 8, 8, requires_grad=True), []
    monkeypatch.setattr(pooling, "pool_apart", lambda *args: calls.append(1) or pool_apart(*args))
    expected = differentiate(network[:2](clip), clip)
    assert not calls
    monkeypatch.setattr(pooling, "DEVICES", {"cpu"})
    torch.testing.assert_close(differentiate(network[:2](clip), clip), expected, rtol=0, atol=0)
    assert len(calls) == 2
    monkeypatch.setattr(pooling, "pool_apart", pool_apart)
    compiled = torch.compile(network[:2], backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(differentiate(compiled(clip), clip), expected, rtol=0, atol=0)
