"""Folders of the transformers library as teachers: the library's own features and logits, through every way in."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch
from tiny_teachers import CLASSES, FRAMES, NETWORKS, SIZE, draw_frames, edit_json, write_teacher
from torch import Tensor, nn

from kdvideo.data.clip_spec import prepare_clips
from kdvideo.data.load import load_clips
from kdvideo.data.plan import plan_uniform_clips
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import backbone_of
from kdvideo.zoo import Zoo, create_model, load_pretrained
from kdvideo.zoo.convert import convert_weights
from kdvideo.zoo.load import load_model

pytest.importorskip("transformers", reason="the extra `teachers` is not installed")

# A network of a hundred thousand parameters at most, in float32: the same sums in the same order differ by less.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
SHAPES = [(64, 96), (45, 37), (21, 30)]


def clips(*, size: int = SIZE) -> Tensor:
    """Two clips of random pixels, as they are decoded: uint8 `[2, 3, T, H, W]`."""
    shape = (2, 3, FRAMES, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def prepared_by_library(folder: Path, clip: Tensor, *, do_resize: bool = False) -> Tensor:
    """The library's input of decoded clips, `[B, T, C, H, W]`, by the processor that was saved with the model."""
    from transformers import AutoVideoProcessor

    processor = AutoVideoProcessor.from_pretrained(folder)
    outputs = processor(list(clip.transpose(1, 2)), return_tensors="pt", do_resize=do_resize)
    return outputs.get("pixel_values", outputs.get("pixel_values_videos"))


def _mean(net: nn.Module, x: Tensor) -> Tensor:
    return net(x).last_hidden_state.mean(1)


def _class_token(net: nn.Module, x: Tensor) -> Tensor:
    return net(x).last_hidden_state[:, 0]


# What the library's classifier is applied to, or the recommended feature of a network without one.
FEATURES: dict[str, Callable] = {
    "videomae": lambda net, x: net.fc_norm(_mean(net.videomae, x)),
    "videomae-pretrained": lambda net, x: _mean(net.videomae, x),
    "vjepa2": lambda net, x: net.pooler(net.vjepa2(x).last_hidden_state),
    "vjepa2-pretrained": _mean,
    "timesformer": lambda net, x: _class_token(net.timesformer, x),
    "timesformer-bare": _class_token,
    "vivit": lambda net, x: _class_token(net.vivit, x),
    "vivit-bare": _class_token,
    "videoprism": lambda net, x: net.head_layernorm(net.head(net.vision_model(x).last_hidden_state)[0])[:, 0],
    "videoprism-vision": _mean,
    "videoprism-video": lambda net, x: net(x).pooler_output[:, 0],
    "xclip": lambda net, x: net.get_video_features(x).pooler_output,
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_features_and_logits_are_the_librarys(name: str, tmp_path: Path):
    """From frames that are no square to what its own network says, fed by its own processor; also after a conversion.

    One comparison: each resizes, cuts and normalises the frames as it does. Odd margins, and sides that grow.
    """
    net = write_teacher(name, tmp_path / "teacher", licence="mit")
    model, weights = load_model(str(tmp_path / "teacher"))
    convert_weights(str(tmp_path / "teacher"), "converted", zoo=Zoo(tmp_path / "zoo"))
    again, _ = load_model("converted", zoo=Zoo(tmp_path / "zoo"))
    assert weights.licence == "mit"
    assert (Zoo(tmp_path / "zoo").entry("converted") or pytest.fail("no entry")).licence == "mit"
    for frames in (draw_frames(FRAMES, *shape) for shape in SHAPES):
        theirs = prepared_by_library(tmp_path / "teacher", frames.transpose(0, 1)[None], do_resize=True)
        for one in (model, again):
            backbone = backbone_of(one.eval())
            ours = backbone.clip_spec.transform()(frames)[None]
            features = backbone(ours)
            assert features.shape == (1, backbone.num_features)
            torch.testing.assert_close(features, FEATURES[name](net, theirs), **CLOSE)
            if hasattr(net, "classifier"):
                assert isinstance(one, ClassificationModel)
                assert list(one.class_names) == CLASSES
                torch.testing.assert_close(one(ours), net(theirs).logits.flatten(1), **CLOSE)
            tokens = backbone.forward_features(ours)
            assert tokens.shape[:2] == features.shape
            assert tokens.shape[3:] == (SIZE // 8, SIZE // 8)


@pytest.mark.parametrize("name", ["videomae", "xclip"])
@torch.no_grad()
def test_from_the_same_video(name: str, tiny_dataset: Path, tmp_path: Path):
    """As above, decoded by each: frames at a stride, and frames that are spread over the video."""
    video = next(tiny_dataset.rglob("*.avi"))
    net = write_teacher(name, tmp_path)
    backbone = backbone_of(load_model(str(tmp_path))[0]).eval()
    with av.open(str(video)) as container:
        frames = torch.stack([torch.from_numpy(one.to_ndarray(format="rgb24")) for one in container.decode(video=0)])
    assert frames.shape[1] != frames.shape[2]
    ours = prepare_clips(load_clips(video, backbone.clip_spec, num_clips=1), backbone.clip_spec)
    (places,) = plan_uniform_clips(backbone.clip_spec, 1, num_frames=len(frames))
    theirs = prepared_by_library(tmp_path, frames[list(places)].permute(3, 0, 1, 2)[None], do_resize=True)
    torch.testing.assert_close(backbone(ours), FEATURES[name](net, theirs), **CLOSE)


def test_ways_in(tmp_path: Path):
    """`create_model` without a classifier and with a new one, `load_pretrained`, shards, a hash of each shard."""
    net = write_teacher("videomae", tmp_path / "whole")
    write_teacher("videomae", tmp_path / "shards", max_shard_size="8KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    whole, shards = (load_model(str(tmp_path / name)) for name in ("whole", "shards"))
    assert whole[1].sha256 != shards[1].sha256
    backbone = create_model(str(tmp_path / "shards"), 0, pretrained=True).eval()
    classifier = create_model(str(tmp_path / "whole"), 7, pretrained=True).eval()
    theirs = prepared_by_library(tmp_path / "whole", clips())
    ours = prepare_clips(clips(), backbone.clip_spec)
    with torch.no_grad():
        torch.testing.assert_close(backbone(ours), FEATURES["videomae"](net, theirs), **CLOSE)
        assert classifier(ours).shape == (2, 7)
    write_teacher("videomae", tmp_path / "other", seed=1)
    report = load_pretrained(backbone, str(tmp_path / "other"))
    assert set(report.dropped) == {"head.weight", "head.bias"}
    with torch.no_grad():
        assert not torch.allclose(backbone(ours), FEATURES["videomae"](net, theirs))
    with pytest.raises(ValueError, match="give `pretrained` True"):
        create_model(str(tmp_path / "whole"))


def test_other_clips_are_refused(tmp_path: Path):
    """VideoMAE's position encodings have one length and size; V-JEPA 2 takes all."""
    write_teacher("videomae", tmp_path / "fixed")
    write_teacher("vjepa2", tmp_path / "free")
    assert not backbone_of(load_model(str(tmp_path / "fixed"))[0]).takes_any_clip
    assert backbone_of(load_model(str(tmp_path / "free"))[0]).takes_any_clip
    edit_json(tmp_path / "fixed" / "video_preprocessor_config.json", crop_size={"height": 24, "width": 24})
    with pytest.raises(ValueError, match="takes clips of 4 frames of 32 x 32 only, not of 4 frames of 24 x 24"):
        load_model(str(tmp_path / "fixed"))
