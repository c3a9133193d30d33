"""Pixels of frames that are not square, against the transformers library's own processors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_teachers import NETWORKS, draw_frames, write_teacher
from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.data.resize import find_cut
from kdvideo.models.from_transformers.convention import find_clip_spec
from kdvideo.models.from_transformers.families import FAMILIES
from kdvideo.zoo.model_folder import read_model_folder

tf = pytest.importorskip("transformers", reason="the extra `teachers` is not installed")

FRAMES = [(240, 320), (320, 240), (161, 121), (20, 30), (32, 32)]  # odd margins; enlarged; as large as the crop
COLORS = {"image_mean": [0.4, 0.45, 0.5], "image_std": [0.2, 0.25, 0.3]}
CROP = {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}  # an odd margin on the short side, too
FAMILY = {
    "videomae": "VideoMAE",
    "vjepa2": "VJEPA2",
    "timesformer": "Timesformer",
    "vivit": "Vivit",
    "xclip": "VideoMAE",
}

IMAGE_CONFIGS: dict[str, Callable[[], Any]] = {
    "siglip": lambda: tf.SiglipVisionConfig(image_size=32),
    "dinov3": lambda: tf.DINOv3ViTConfig(image_size=32),
}


def by_library(processor: Any, frames: Tensor) -> Tensor:
    """Returns what the processor makes of them, `[T, C, H, W]`."""
    prepared = processor(list(frames.permute(0, 2, 3, 1).numpy()), return_tensors="pt")
    pixels = next(iter(prepared.values()))
    return pixels[0] if pixels.dim() == 5 else pixels  # of videos, or of images


def by_kdvideo(spec: ClipSpec, frames: Tensor) -> Tensor:
    """Returns the network's input, `[T, C, H, W]`."""
    sides: Any = {"short_side": spec.own_short_side, "size": spec.size, "resizing": spec.resizing}
    cut = find_cut((spec.center, spec.center), tuple(frames.shape[-2:]), **sides)
    return prepare_clips(cut.of(frames[(..., *cut.window)]).transpose(0, 1), spec).transpose(0, 1)


def spec_of(processor: Any, network: str, folder: Path) -> ClipSpec:
    """Returns the convention that kdvideo reads from the file that the processor writes."""
    processor.save_pretrained(folder)
    (file,) = folder.glob("*.json")
    config = IMAGE_CONFIGS[network]() if network in IMAGE_CONFIGS else NETWORKS[network][0](tf).config
    return find_clip_spec(json.loads(file.read_text()), FAMILIES[config.model_type], config)


def worst(spec: ClipSpec, processor: Any) -> float:
    """Returns the largest difference over all frames, in steps of 255."""
    scale = torch.tensor(spec.std).view(1, 3, 1, 1) * 255
    pictures = [draw_frames(4, *frame) for frame in FRAMES]
    pairs = [(by_kdvideo(spec, frames), by_library(processor, frames)) for frames in pictures]
    return max(((ours - theirs).abs() * scale).max().item() for ours, theirs in pairs)


@pytest.mark.parametrize("resample", [2, 3], ids=["bilinear", "bicubic"])
@pytest.mark.parametrize("network", FAMILY)
def test_pixels_are_those_of_the_video_processor(network: str, resample: int, tmp_path: Path):
    """To a hundredth of a step of 255: the same resizing and the same crop; what is left is float32's rounding."""
    sides = {"crop_size": 32} if network == "vjepa2" else CROP
    processor = getattr(tf, f"{FAMILY[network]}VideoProcessor")(**sides, **COLORS, resample=resample)
    spec = spec_of(processor, network, tmp_path)
    assert spec.interpolation == ("bilinear", "bicubic")[resample - 2]
    assert worst(spec, processor) < 0.01


@pytest.mark.parametrize("network", ["videomae", "timesformer", "xclip"])
def test_pixels_are_those_of_the_image_processor(network: str, tmp_path: Path):
    """Most published checkpoints name it. PIL, with which it can resize as well, rounds otherwise: by 1 of 255."""
    for kind, most in (("VideoMAEImageProcessor", 0.01), ("VideoMAEImageProcessorPil", 1.01)):
        processor = getattr(tf, kind)(**CROP, **COLORS)
        assert worst(spec_of(processor, network, tmp_path), processor) <= most


SQUARE = {"height": 32, "width": 32}
SQUEEZING: dict[str, tuple[str, str, dict[str, Any]]] = {
    "videoprism": ("videoprism-vision", "LlavaOnevisionVideoProcessor", {"size": SQUARE}),
    "without-crop": ("videoprism-vision", "VideoMAEVideoProcessor", {"size": SQUARE, "do_center_crop": False}),
    "then-cropped": ("xclip", "VideoMAEVideoProcessor", {**CROP, "size": {"height": 37, "width": 37}}),
    "siglip": ("siglip", "SiglipImageProcessor", {"size": SQUARE}),
    "dinov3": ("dinov3", "DINOv3ViTImageProcessor", {"size": SQUARE}),
}


@pytest.mark.parametrize("case", SQUEEZING)
def test_a_processor_that_squeezes_frames_into_a_square(case: str, tmp_path: Path):
    """As SigLIP's, DINOv3's and VideoPrism's do. Pixels are the same to a hundredth of a step, as above.

    DINOv3's are not rounded to whole numbers after resizing, nor between its two passes: less than one step apart.
    """
    network, kind, sizes = SQUEEZING[case]
    processor = getattr(tf, kind)(**sizes, **COLORS)
    spec = spec_of(processor, network, tmp_path)
    assert (spec.resize, spec.short_side, spec.size) == ("squash", 37 if case == "then-cropped" else 32, 32)
    assert worst(spec, processor) < (1 if case == "dinov3" else 0.01)


@pytest.mark.parametrize(
    ("kind", "resize"), [("ViTFeatureExtractor", "squash"), ("VideoMAEFeatureExtractor", "short_side")]
)
def test_a_size_of_one_number_means_what_its_processor_makes_of_it(kind: str, resize: str):
    """Files of former versions have such: `default_to_square` of the library's class decides."""
    config = NETWORKS["xclip"][0](tf).config
    values = {"size": 40, "feature_extractor_type": kind, "crop_size": 32, **COLORS}
    assert find_clip_spec(values, FAMILIES["xclip"], config).resize == resize


@pytest.mark.parametrize(
    ("kind", "interpolation"),
    [("CLIPImageProcessor", "bicubic"), ("BitImageProcessor", "bicubic"), ("VideoMAEImageProcessor", "bilinear")],
)
def test_what_a_file_leaves_out_is_its_processors_own(kind: str, interpolation: str, tmp_path: Path):
    """A file without `resample` means the default of the processor's class, which the library would take."""
    write_teacher("videomae", tmp_path / "teacher")
    path = next((tmp_path / "teacher").glob("*preprocessor_config.json"))
    values = json.loads(path.read_text())
    del values["resample"]
    path.write_text(json.dumps({**values, "image_processor_type": kind}))
    assert read_model_folder(path.parent).spec.clip_spec.interpolation == interpolation
