"""Heads: the one that compares clips pair by pair, against a loop; a classifier of a user's own."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_zoo import FACTS
from torch import Tensor, nn

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.models.heads import OrderHead
from kdvideo.models.pcl import ClassificationModel, build_backbone, build_pcl_model
from kdvideo.models.spec import ModelSpec
from kdvideo.registry import HEADS
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.load import load_model
from kdvideo.zoo.publish import publish

SPEC = ClipSpec(clip_len=8, size=32)


def test_order_head_is_the_loop_over_pairs():
    """Pairs (1, 2), (1, 3), (2, 3), one shared layer, then one over all three."""
    head = OrderHead(4, num_classes=6, tuple_len=3).double()
    features = torch.randn(5, 3, 4, dtype=torch.float64)
    for sample, logits in zip(features, head(features), strict=True):
        hidden = []
        for i, j in ((0, 1), (0, 2), (1, 2)):
            pair = torch.cat((sample[i], sample[j]))
            hidden.append((head.pair_fc.weight @ pair + head.pair_fc.bias).clamp(min=0))
        expected = head.fc.weight @ torch.cat(hidden) + head.fc.bias
        torch.testing.assert_close(logits, expected)


def test_a_pcl_model_takes_any_pretext_head_by_name():
    """The name comes from the pretext task; z projects the first and the last clip."""
    backbone = build_backbone("r3d_10", width=4, clip_spec=SPEC)
    model = build_pcl_model(backbone, num_pretext_classes=6, projection_dim=16, pretext_head="order_head").eval()
    outputs = model(torch.randn(2, 3, 3, 8, 32, 32))
    assert isinstance(model.pretext_head, OrderHead)
    assert outputs["pretext_logits"].shape == (2, 6)
    torch.testing.assert_close(outputs["z"], model.projection_head(outputs["feature"][:, [0, 2]]))


class TwoLayers(nn.Module):
    """A classifier of a user's own."""

    def __init__(self, in_features: int, *, num_classes: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def test_an_own_classifier_goes_to_the_zoo_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Registered, it is named by a spec, published and loaded; elsewhere the error says what to import."""
    monkeypatch.setattr(HEADS, "_obj_map", {**dict(HEADS), "two_layers": TwoLayers})
    spec = ModelSpec("r3d_10", {"width": 4}, SPEC, "two_layers", {"num_classes": 3, "hidden": 5})
    model = spec.build()
    publish(model, "own.head", zoo=Zoo(tmp_path), spec=spec, facts=replace(FACTS, classes=["a", "b", "c"]))
    loaded, _ = load_model("own.head", zoo=tmp_path)
    assert isinstance(loaded, ClassificationModel)
    assert list(loaded.class_names) == ["a", "b", "c"]
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())
    loaded.class_names = ["b", "a", "c"]
    report = kdvideo.load_pretrained(loaded, "own.head", zoo=tmp_path)
    assert set(report.dropped.values()) == {"a classifier whose classes are in another order, and not a linear layer"}
    monkeypatch.setattr(HEADS, "_obj_map", {name: head for name, head in HEADS if name != "two_layers"})
    with pytest.raises(ValueError, match="built from the head 'two_layers', which is not registered here"):
        load_model("own.head", zoo=tmp_path)


def test_an_own_classifier_that_does_not_fit_its_arguments():
    """An entry's arguments end in one line that names them."""
    with pytest.raises(ValueError, match=r"no model can be built from r3d_10 with .*'depth': 2.*: .*depth"):
        ModelSpec("r3d_10", {"width": 4}, SPEC, "classification_head", {"num_classes": 3, "depth": 2}).build()


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

    head = OrderHead(20, num_classes=VCOP.num_classes, tuple_len=3)
    features, labels = tuples(0)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(features), labels).backward()
        optimizer.step()
    others, wanted = tuples(64)
    assert (head(others).argmax(dim=1) == wanted).float().mean() > 0.9
