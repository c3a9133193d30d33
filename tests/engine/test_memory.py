"""What the allocator and the kernel are told changes no number."""

import torch
from torch import nn

from kdvideo.engine.memory import use_huge_pages


def test_huge_pages_keep_what_is_in_them():
    """Buffers of every size, contiguous and not, above and below the pages' size; parameters are left alone."""
    module = nn.Linear(4, 4)
    for name, rows in (("none", 0), ("small", 10), ("large", 20_000)):
        module.register_buffer(name, torch.randn(rows, 128))
    module.register_buffer("turned", torch.randn(128, 9_000).T)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    use_huge_pages(module)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    module.large[5] = 1.0  # and can be written to
    assert module.large[5].sum() == 128
