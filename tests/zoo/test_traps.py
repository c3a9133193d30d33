"""What makes a teacher silently wrong elsewhere: each is right here, or an error in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_teachers import FRAMES, SIZE, edit_json, write_teacher

from kdvideo.cli import main
from kdvideo.engine import one_call
from kdvideo.engine.evaluation_config import evaluation_config
from kdvideo.engine.teachers import load_teachers
from kdvideo.models.spec import backbone_of
from kdvideo.zoo import Zoo
from kdvideo.zoo.convert import convert_weights
from kdvideo.zoo.load import load_model

pytest.importorskip("transformers", reason="the extra `teachers` is not installed")

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def clip(frames: int = FRAMES, size: int = SIZE) -> torch.Tensor:
    """One prepared clip, `[1, 3, T, H, W]`."""
    return torch.randn(1, 3, frames, size, size, generator=torch.Generator().manual_seed(2))


def features(folder: Path, frames: int = FRAMES) -> torch.Tensor:
    """What kdvideo's backbone of a folder gives for the clip."""
    with torch.no_grad():
        return backbone_of(load_model(str(folder))[0]).eval()(clip(frames))


def change_tensors(folder: Path, part: str, value: float) -> list[str]:
    """Fills the tensors with `part` in their names; returns their names."""
    file = folder / "model.safetensors"
    state = load_file(file)
    names = [name for name in state if part in name]
    save_file(
        {key: torch.full_like(old, value) if key in names else old for key, old in state.items()},
        file,
        {"format": "pt"},
    )
    return names


def test_videomae_biases(tmp_path: Path):
    """q and v have biases of their own in the files, under the names of the published checkpoints. They are read."""
    write_teacher("videomae", tmp_path / "a")
    before = features(tmp_path / "a")
    names = change_tensors(tmp_path / "a", "attention.q_bias", 0.0)
    assert names == [f"videomae.encoder.layer.{place}.attention.attention.q_bias" for place in (0, 1)]
    assert not torch.allclose(features(tmp_path / "a"), before, **CLOSE)
    before = features(tmp_path / "a")
    assert len(change_tensors(tmp_path / "a", "attention.v_bias", 0.0)) == 2
    assert not torch.allclose(features(tmp_path / "a"), before, **CLOSE)


def test_missing_tensors_are_refused(tmp_path: Path):
    """The library fills what a file lacks with random numbers, and says so in a report alone."""
    write_teacher("videomae", tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    save_file({key: value for key, value in state.items() if "fc_norm" not in key}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"lacks 2 tensors of VideoMAEForVideoClassification, the first fc_norm.bias"):
        load_model(str(tmp_path))


@torch.no_grad()
def test_fc_norm(tmp_path: Path):
    """Only with its norm does the classifier's layer see what it was trained on."""
    net = write_teacher("videomae", tmp_path)
    tokens = net.videomae(clip().transpose(1, 2)).last_hidden_state.mean(1)
    assert not torch.allclose(features(tmp_path), tokens, **CLOSE)
    torch.testing.assert_close(features(tmp_path), net.fc_norm(tokens), **CLOSE)


def test_mean_and_std_come_from_the_file(tmp_path: Path):
    """VideoMAE's class has 0.5 as its default, its checkpoints have ImageNet's. Without a file nobody guesses."""
    write_teacher("videomae", tmp_path)
    spec = backbone_of(load_model(str(tmp_path))[0]).clip_spec
    assert (spec.mean, spec.std) == ((0.4, 0.45, 0.5), (0.2, 0.25, 0.3))
    file = tmp_path / "video_preprocessor_config.json"
    edit_json(file, image_std=None)
    with pytest.raises(ValueError, match="its preprocessor file has image_std None; it must be three numbers"):
        load_model(str(tmp_path))
    file.unlink()
    told = r"has none of video_preprocessor_config.json, .*: copy it there, or give `clip_spec`$"
    with pytest.raises(ValueError, match=told):
        load_model(str(tmp_path))
    convert_weights(str(tmp_path), "converted", zoo=Zoo(tmp_path / "zoo"), licence="mit", clip_spec=spec)
    for model in (load_model(str(tmp_path), clip_spec=spec)[0], load_model("converted", zoo=Zoo(tmp_path / "zoo"))[0]):
        assert backbone_of(model).clip_spec == spec
    with pytest.raises(ValueError, match="VideoMAE takes clips of 4 frames of 32 x 32 only, not of 8"):
        load_model(str(tmp_path), clip_spec=replace(spec, clip_len=8))


def test_a_convention_that_is_given_reaches_eval_and_distill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """MODEL.CLIP_SPEC and TEACHER.CLIP_SPEC, for a folder without a preprocessor file."""
    write_teacher("videomae", tmp_path)
    spec = backbone_of(load_model(str(tmp_path))[0]).clip_spec
    (tmp_path / "video_preprocessor_config.json").unlink()
    text = json.dumps(spec.to_dict())
    assert evaluation_config(str(tmp_path), None, ["MODEL.CLIP_SPEC", text]).DATA.SHORT_SIDE == 36
    with pytest.raises(ValueError, match=r"copy it there, or give MODEL\.CLIP_SPEC$"):
        evaluation_config(str(tmp_path))
    asked = []
    monkeypatch.setattr(one_call, "train", lambda cfg, **_: asked.extend(load_teachers(cfg)))
    one_call.distill(teacher=tmp_path, student="c3d", data=tmp_path, out=tmp_path, TEACHER={"CLIP_SPEC": text})
    assert backbone_of(asked[0][0]).clip_spec == spec


def test_squeezed_frames(tmp_path: Path):
    """VideoPrism's processor resizes whole frames to a square. Nothing is cut off, nor in the header of a copy."""
    write_teacher("videoprism", tmp_path)
    square = {"height": SIZE, "width": SIZE}
    edit_json(tmp_path / "video_preprocessor_config.json", size=square, crop_size=None, do_center_crop=None)
    spec = backbone_of(load_model(str(tmp_path))[0]).clip_spec
    assert (spec.size, spec.short_side, spec.sampling, spec.resize) == (SIZE, SIZE, "uniform", "squash")
    convert_weights(str(tmp_path), "converted", zoo=Zoo(tmp_path / "zoo"), licence="mit")
    assert backbone_of(load_model("converted", zoo=Zoo(tmp_path / "zoo"))[0]).clip_spec == spec


def test_vivit_pixels(tmp_path: Path):
    """Its pixels are moved to [-1, 1] before they are normalised, unless an older file says not to."""
    write_teacher("vivit", tmp_path)
    file = tmp_path / "video_preprocessor_config.json"
    edit_json(file, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    spec = backbone_of(load_model(str(tmp_path))[0]).clip_spec
    assert spec.mean == pytest.approx((0.75, 0.75, 0.75))
    assert spec.std == pytest.approx((0.25, 0.25, 0.25))
    edit_json(file, offset=False, rescale_factor=1 / 255)
    spec = backbone_of(load_model(str(tmp_path))[0]).clip_spec
    assert spec.mean == pytest.approx((0.5, 0.5, 0.5))


def test_vjepa2_predictor_does_not_run(tmp_path: Path):
    """It is neither kept nor asked: damaged weights of it change nothing."""
    for name in ("vjepa2", "vjepa2-pretrained"):
        write_teacher(name, tmp_path / name)
        before = features(tmp_path / name)
        assert change_tensors(tmp_path / name, "predictor", float("nan"))
        torch.testing.assert_close(features(tmp_path / name), before, rtol=0, atol=0)
        backbone = backbone_of(load_model(str(tmp_path / name))[0])
        assert not [key for key in backbone.state_dict() if "predictor" in key]


@torch.no_grad()
def test_odd_frame_counts(tmp_path: Path):
    """V-JEPA 2 joins two frames in a token: of three the last is lost, a single one is repeated."""
    write_teacher("vjepa2-pretrained", tmp_path)
    backbone = backbone_of(load_model(str(tmp_path))[0]).eval()
    three = clip(3)
    torch.testing.assert_close(backbone(three), backbone(three[:, :, :2]), **CLOSE)
    assert backbone.forward_features(three).shape[2:] == (1, SIZE // 8, SIZE // 8)
    one = clip(1)
    torch.testing.assert_close(backbone(one), backbone(one.repeat(1, 1, 2, 1, 1)), **CLOSE)
    assert backbone.forward_features(one).shape[2:] == (1, SIZE // 8, SIZE // 8)


@torch.no_grad()
def test_vivit_pooler_is_not_taken(tmp_path: Path):
    """A finetuned checkpoint has none, so the library's bare network has a random one."""
    net = write_teacher("vivit-bare", tmp_path)
    output = net(clip().transpose(1, 2))
    assert not torch.allclose(features(tmp_path), output.pooler_output, **CLOSE)
    torch.testing.assert_close(features(tmp_path), output.last_hidden_state[:, 0], **CLOSE)


@torch.no_grad()
def test_timesformer_map(tmp_path: Path):
    """Its tokens go through all times of a place before the next place: the map has them where they belong."""
    write_teacher("timesformer-bare", tmp_path)
    backbone = backbone_of(load_model(str(tmp_path))[0]).eval()
    tokens = backbone.net(clip().transpose(1, 2)).last_hidden_state[0]
    features = backbone.forward_features(clip())[0]
    torch.testing.assert_close(features[:, 1, 2, 3], tokens[1 + (2 * 4 + 3) * FRAMES + 1])


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_attn_implementation_internal"])
@pytest.mark.parametrize("name", ["videomae", "xclip"])
def test_no_implementation_is_fetched(key: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A config can name a repository whose code is to compute attention. It is not asked for."""
    from transformers import PreTrainedModel

    asked: list[object] = []
    check = PreTrainedModel._check_and_adjust_attn_implementation

    def note(net: PreTrainedModel, implementation: object, *args: object, **kwargs: object) -> object:
        asked.append(implementation)
        return check(net, implementation, *args, **kwargs)

    monkeypatch.setattr(PreTrainedModel, "_check_and_adjust_attn_implementation", note)
    write_teacher(name, tmp_path)
    hostile = {key: "someone/kernel"}
    values = json.loads((tmp_path / "config.json").read_text())
    nested = {part: {**inner, **hostile} for part, inner in values.items() if part.endswith("_config")}
    edit_json(tmp_path / "config.json", **hostile, **nested, output_attentions=True, return_dict=False)
    asked.clear()
    model, _ = load_model(str(tmp_path))
    assert asked
    assert set(asked) <= {None, "sdpa", "eager"}
    assert torch.isfinite(backbone_of(model)(clip())).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "bert", "vocab_size": 9, "image_size": None, "num_channels": None},
            "'bert' is a model of texts",
        ),
        ({"model_type": "internvideo"}, "'internvideo' is not known here: use one of videomae, vjepa2, timesformer"),
        (
            {"model_type": "mine", "auto_map": {"AutoModel": "mine.Mine"}},
            "'mine' needs its repository's own code, which",
        ),
        ({"model_type": "siglip2"}, "(NaFlex), and clips are square: use one of a fixed size, e.g. hf:google/siglip2-"),
        ({"quantization_config": {"quant_method": "gptq"}}, "its weights are quantised, which needs code"),
        ({"hidden_size": "many"}, "the config is not one of transformers' videomae: "),
        (
            {"num_labels": 3, "patch_size": 4},
            "patch_embeddings.projection.weight has shape (16, 3, 2, 8, 8), config.json says",
        ),
    ],
)
def test_models_that_are_refused(changes: dict, message: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    """One line, which names what is known."""
    write_teacher("videomae", tmp_path)
    edit_json(tmp_path / "config.json", **changes)
    assert main(["zoo", "show", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"kdvideo: error: weights {tmp_path}: ")
    assert message in error
    assert error.count("\n") == 1


def test_weights_that_are_refused(tmp_path: Path):
    """Pickles are not read, damaged files and indices that lead elsewhere are no weights."""
    write_teacher("videomae", tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.rename(tmp_path / "pytorch_model.bin")
    told = r"has no model.safetensors: pytorch_model.bin is a pickle, which is not read: use a revision"
    with pytest.raises(ValueError, match=told):
        load_model(str(tmp_path))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))
    with pytest.raises(ValueError, match=r"names '../x.safetensors', which is not there"):
        load_model(str(tmp_path))
    weights.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be loaded as VideoMAEForVideoClassification"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(
        ValueError,
        match=r"has no best.pt or checkpoint.pt of a run, and no config.json of a model of transformers",
    ):
        load_model(str(tmp_path))


def test_show_says_the_feature(tmp_path: Path, capsys: pytest.CaptureFixture):
    """Which feature, how long, the licence, and what is left out."""
    write_teacher("vjepa2", tmp_path, licence="mit")
    assert main(["zoo", "show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "feature: 'V-JEPA 2: its attentive pooler, which its classifier sees; 24 numbers'" in shown
    for line in ("licence: mit", "takes_any_clip: true", "- vjepa2.predictor.embeddings.mask_tokens", "- archery"):
        assert line in shown
