"""Networks of a user's own go to the zoo from memory and from a bare file, and come back."""

from pathlib import Path

import pytest
import torch
from tiny_zoo import SPEC
from torch import Tensor, nn

import kdvideo
from kdvideo.cli import main
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models import Backbone, PretextHead
from kdvideo.registry import BACKBONES, HEADS
from kdvideo.zoo.convert import convert_weights
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.load import load_model

RGB = ClipSpec(clip_len=4, size=32, modality="rgb")
NET = """
import torch
from torch import nn
from kdvideo import ClipSpec
from kdvideo.registry import BACKBONES

@BACKBONES.register()
class frame_net(nn.Module):
    "No subclass of Backbone: it has what one has to have. An image network inside sees each frame."
    num_features = 6
    def __init__(self, *, clip_spec=None):
        super().__init__()
        self.clip_spec = clip_spec or ClipSpec(clip_len=4, size=32, modality="rgb")
        self.image = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4), nn.BatchNorm2d(6))
    def forward_features(self, clip):
        return torch.stack([self.image(frame) for frame in clip.unbind(2)], dim=2)
    def forward(self, clip):
        return self.forward_features(clip).mean(dim=(2, 3, 4))
"""


class OwnNet(Backbone):
    """A network of a user's own."""

    def __init__(self, *, clip_spec: ClipSpec | None = None, depth: int = 1) -> None:
        super().__init__(num_features=6, clip_spec=clip_spec or RGB)
        self.net = nn.Sequential(*(nn.Conv3d(3 if i == 0 else 6, 6, 3, stride=2, padding=1) for i in range(depth)))

    def forward_features(self, clip: Tensor) -> Tensor:
        return self.net(clip)


class OwnHead(PretextHead):
    """A pretext head of a user's own."""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network and the head have names, beside two networks of kdvideo's: all of them take seconds to compare."""
    known = dict(BACKBONES)
    monkeypatch.setattr(BACKBONES, "_obj_map", {"c3d": known["c3d"], "r3d_10": known["r3d_10"], "own_net": OwnNet})
    monkeypatch.setattr(HEADS, "_obj_map", {**dict(HEADS), "own_head": OwnHead})


def assert_comes_back(model: nn.Module, name: str) -> None:
    loaded, _ = load_model(name)
    state = loaded.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert state.keys() == model.state_dict().keys()


@pytest.mark.usefixtures("registered")
def test_networks_in_memory_come_back():
    """Built by kdvideo with options, by hand, with heads; each under the name of what builds it."""
    built = kdvideo.create_model("own_net", depth=2)
    with_head = kdvideo.create_pcl_model("own_net", pretext_head="own_head", projection_dim=4)
    classifier = kdvideo.create_model("r3d_10", num_classes=2, width=4, clip_spec=RGB)
    classifier.class_names = ["a", "b"]
    for number, (model, backbone, kwargs) in enumerate(
        [
            (built, "own_net", {"depth": 2}),
            (OwnNet(), "own_net", {}),
            (with_head, "own_net", {}),
            (classifier, "r3d_10", {"width": 4}),
            (SPEC.build(), "r3d_10", {"width": 4}),
        ]
    ):
        entry = kdvideo.publish(model, f"own.n{number}", licence="MIT", dataset="none")
        assert (entry.model.backbone, entry.model.backbone_kwargs) == (backbone, kwargs)
        assert (entry.licence, entry.dataset, entry.source) == ("MIT", "none", "published from memory")
        assert_comes_back(model, f"own.n{number}")
    assert list(load_model("own.n3")[0].class_names) == ["a", "b"]
    assert load_model("own.n0")[0].clip_spec == RGB


@pytest.mark.usefixtures("registered")
def test_what_is_refused_from_memory():
    """Nothing is written then."""
    classifier = kdvideo.create_model("r3d_10", num_classes=2, width=4, clip_spec=RGB)
    for model, arguments, message in (
        (OwnNet(), {"licence": None}, "nobody else knows the licence of these weights: give `licence`"),
        (nn.Linear(2, 2), {}, "the Linear has no `clip_spec`, its input convention: derive it from"),
        (OwnNet(depth=3), {}, "fit no backbone that is registered here: give the name of the one that builds it"),
        (OwnNet(depth=3), {"backbone": "own_net"}, "which the entry would name, is another network"),
        (OwnNet(), {"backbone": "own_met"}, "unknown backbone 'own_met': did you mean own_net"),
        (classifier, {}, "a classifier of 2 classes without names .*: give `classes`"),
        (classifier, {"classes": ["a"]}, "`classes` has 1 names, but the classifier has 2 outputs"),
        (OwnNet(), {"classes": ["a"]}, "`classes` are given, but a OwnNet has no classifier"),
        ("some/run", {"classes": ["a"]}, "a run says its backbone, its classes and its dataset itself"),
    ):
        with pytest.raises(ValueError, match=message):
            kdvideo.publish(model, "own.x", **{"licence": "MIT", **arguments})
    assert Zoo.user().entries() == []
    kdvideo.publish(OwnNet(), "own.x", licence="MIT")
    with pytest.raises(ValueError, match=r"own\.x is taken"):
        kdvideo.publish(OwnNet(), "own.x", licence="MIT")  # other random weights


def test_a_bare_file_of_an_own_network(tmp_path: Path, capsys, new_process):
    """`zoo convert --backbone --import`: the whole network, or the image network within it, less a classifier."""
    (tmp_path / "frame_file.py").write_text(NET)
    own = ["--import", str(tmp_path / "frame_file.py")]
    image = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4), nn.BatchNorm2d(6))
    whole = {f"image.{key}": value for key, value in image.state_dict().items()}
    torch.save(image.state_dict(), tmp_path / "image.pt")
    torch.save({**image.state_dict(), "fc.weight": torch.zeros(9, 6)}, tmp_path / "image_fc.pt")
    torch.save({"state_dict": whole, "epoch": 3}, tmp_path / "whole.pth")
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "other.pt")
    convert = ["--backbone", "frame_net", "--licence", "MIT", *own]
    for name in ("image.pt", "image_fc.pt", "whole.pth"):
        new_process()
        assert main(["zoo", "convert", str(tmp_path / name), "--name", f"own.{name[:-3]}x", *convert]) == 0
        loaded, _ = load_model(f"own.{name[:-3]}x")
        assert loaded.clip_spec == RGB
        assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in whole.items())
    capsys.readouterr()
    for arguments, message in (
        ([str(tmp_path / "other.pt"), *convert], "other.weight"),
        ([str(tmp_path / "image.pt"), *convert[2:]], "do not say which network they are for"),
        ([str(tmp_path / "image.pt"), "--backbone", "c3d", "--licence", "MIT"], "a bare state dict, whose keys do not"),
        (["r3d_10_w16.pcl-vcp_ucf101mini-s1", *convert], "are of r3d_10: leave --backbone out"),
    ):
        assert main(["zoo", "convert", *arguments, "--name", "own.y"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_a_backbone_of_ours_by_name(tmp_path: Path):
    """The width comes from the shapes, the input from `clip_spec`."""
    model = kdvideo.create_model("r3d_10", width=8)
    torch.save(model.state_dict(), tmp_path / "r.pt")
    entry = convert_weights(tmp_path / "r.pt", "own.r", zoo=Zoo.user(), backbone="r3d_10", clip_spec=RGB, licence="MIT")
    assert (entry.model.backbone_kwargs, entry.model.clip_spec) == ({"width": 8}, RGB)
    assert_comes_back(model, "own.r")


def test_half_precision_is_published():
    """NumPy has no bfloat16; the hash of the tensors does not need it."""
    net = kdvideo.create_model("r3d_10", width=4, clip_spec=kdvideo.ClipSpec(clip_len=4, size=32)).bfloat16()
    entry = kdvideo.publish(net, "half.mine", licence="MIT")
    assert next(kdvideo.create_model(entry.name, pretrained=True).parameters()).isfinite().all()
