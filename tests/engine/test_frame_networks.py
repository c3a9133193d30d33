"""Networks with 2-D and 1-D convolutions are trained, evaluated, distilled and distilled from, as all others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kdvideo.config import load_config
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.launch import train
from kdvideo.engine.memory_format import to_channels_last
from kdvideo.models import FramesBackbone
from kdvideo.models.frames import map_of_tokens
from kdvideo.models.spec import backbone_of
from kdvideo.registry import BACKBONES
from kdvideo.zoo.load import load_model


class ThenTime(FramesBackbone):
    """A 2-D network for each frame, then a convolution over time: 4-D and 3-D weights."""

    def __init__(self, width: int, clip_spec: ClipSpec | None) -> None:
        image_net = nn.Sequential(nn.Conv2d(3, width, 3, stride=4, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        super().__init__(image_net, clip_spec=clip_spec)
        self.over_time = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, clip: Tensor) -> Tensor:
        return self.over_time(self.forward_features(clip).mean(dim=(3, 4))).mean(dim=2)


@pytest.fixture(autouse=True)
def _registered(new_process) -> Iterator[None]:
    @BACKBONES.register_as("then_time")
    def build(*, width: int = 8, clip_spec: ClipSpec | None = None) -> ThenTime:
        return ThenTime(width, clip_spec)

    yield
    new_process()


def test_trained_evaluated_and_both_sides_of_a_distillation(tiny_overrides: list[str], tmp_path: Path):
    """As teacher in bf16 with folded BatchNorm, as student in bf16 with its convolutions compared with fp32."""
    short = [*tiny_overrides, "SOLVER.EPOCHS", "1", "MODEL.BACKBONE", "then_time"]
    train(load_config(None, [*short, "OUTPUT_DIR", str(tmp_path / "teacher"), "ZOO.PUBLISH_AS", "frames.teacher"]))
    metrics = evaluate(load_config(None, [*short, "OUTPUT_DIR", str(tmp_path / "teacher")])).metrics
    assert metrics
    distilled = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", "frames.teacher", "SOLVER.AMP", "bf16"]
    losses = ["TEACHER.LOSSES", "[embedding_distillation]", "TEACHER.LOSS_WEIGHTS", "[1]"]
    published = ["OUTPUT_DIR", str(tmp_path / "student"), "ZOO.PUBLISH_AS", "frames.student"]
    train(load_config(None, [*short, *distilled, *losses, *published]))
    student, _ = load_model("frames.student", zoo=tmp_path / "zoo")
    teacher, _ = load_model("frames.teacher", zoo=tmp_path / "zoo")
    assert isinstance(backbone_of(student), ThenTime)
    first, other = (next(backbone_of(model).parameters()) for model in (student, teacher))
    assert not torch.equal(first, other)


def test_only_convolutions_change_their_memory():
    """Values and all other tensors stay; a position encoding with four axes can still be viewed."""
    net = nn.Module()
    net.flat, net.deep = nn.Conv2d(4, 8, 3), nn.Conv3d(4, 8, 3)
    net.line, net.place = nn.Conv1d(4, 8, 3), nn.Parameter(torch.randn(1, 4, 3, 3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert to_channels_last(net) is net
    assert net.flat.weight.is_contiguous(memory_format=torch.channels_last)
    assert net.deep.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert net.place.is_contiguous()
    assert net.line.weight.is_contiguous()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("pooling", ["mean", "first", "max"])
def test_pooling_over_time(pooling: str):
    """Each frame is seen alone. The feature is pooled of theirs, the map has one time step a frame."""
    image_net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
    net = FramesBackbone(image_net, pooling=pooling)
    clip = torch.randn(2, 3, 4, 9, 9)
    maps = torch.stack([image_net(clip[:, :, time]) for time in range(4)], dim=2)
    torch.testing.assert_close(net.forward_features(clip), maps)
    features = maps.mean(dim=(3, 4))
    expected = {"mean": features.mean(2), "first": features[:, :, 0], "max": features.amax(2)}
    torch.testing.assert_close(net(clip), expected[pooling])
    inner = clip.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(net(inner), expected[pooling])


def test_networks_without_a_map_and_unknown_poolings():
    flat = FramesBackbone(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5)), clip_spec=ClipSpec(size=4), pooling="max")
    assert flat.num_features == 5
    assert flat(torch.randn(2, 3, 7, 4, 4)).shape == (2, 5)
    assert flat.forward_features(torch.randn(2, 3, 7, 4, 4)).shape == (2, 5, 7, 1, 1)
    with pytest.raises(ValueError, match="it must be one of mean, first, max"):
        FramesBackbone(nn.Flatten(), pooling="last")


def test_tokens_that_are_not_square():
    """Of patches of 8 x 4 pixels a picture of 16 x 16 has 2 x 4. So many as fill no picture are refused by number."""
    tokens = torch.arange(8.0).view(1, 8, 1)
    assert map_of_tokens(tokens, (8, 4))[0, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert map_of_tokens(tokens[:, :4])[0, 0].tolist() == [[0, 1], [2, 3]]
    with pytest.raises(
        ValueError, match=r"^8 tokens of 1 x 1 pixels fill no square picture, so the network has no map"
    ):
        map_of_tokens(tokens)
