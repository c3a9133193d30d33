"""The head that compares clips pair by pair, against a loop."""

import torch

from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.models.heads import create_order_head, create_pcl_head


def test_order_head_is_the_loop_over_pairs():
    """Pairs (1, 2), (1, 3), (2, 3), one shared layer, then one over all three."""
    head = create_order_head(4, num_classes=6, tuple_len=3).double()
    features = torch.randn(5, 3, 4, dtype=torch.float64)
    for sample, logits in zip(features, head(features), strict=True):
        hidden = []
        for i, j in ((0, 1), (0, 2), (1, 2)):
            pair = torch.cat((sample[i], sample[j]))
            hidden.append((head.pair_fc.weight @ pair + head.pair_fc.bias).clamp(min=0))
        expected = head.fc.weight @ torch.cat(hidden) + head.fc.bias
        torch.testing.assert_close(logits, expected)


def test_pcl_head_takes_any_pretext_head_by_name():
    """The name comes from the pretext task."""
    head = create_pcl_head(8, num_classes=6, tuple_len=3, projection_dim=16, pretext_head="order_head")
    outputs = head(torch.randn(2, 3, 8))
    assert outputs["pretext_logits"].shape == (2, 6)
    assert outputs["z"].shape == (2, 2, 16)
    assert hasattr(head.pretext_head, "pair_fc")


def test_order_head_learns_what_vcop_asks():
    """Features that only say when a clip begins are enough: 64 shuffled tuples to learn from, 64 others to answer."""
    torch.manual_seed(0)

    def tuples(first: int) -> tuple[torch.Tensor, torch.Tensor]:
        plans = [
            VCOP().plan(Draws(0, "test", index=i), [(i % 64 + 10 * clip,) for clip in range(3)], num_frames=100)
            for i in range(first, first + 64)
        ]
        starts = torch.tensor([[clip[0] for clip in plan.clips] for plan in plans])
        return torch.nn.functional.one_hot(starts // 5, 20).cumsum(dim=2).float(), torch.tensor(
            [p.label for p in plans]
        )

    head = create_order_head(20, num_classes=VCOP.num_classes, tuple_len=3)
    features, labels = tuples(0)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(features), labels).backward()
        optimizer.step()
    others, wanted = tuples(64)
    assert (head(others).argmax(dim=1) == wanted).float().mean() > 0.9
