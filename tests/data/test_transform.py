"""`ClipSpec.transform`: the pixels of `kdvideo embed`, from frames in memory, and what it refuses."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import plan_uniform_clips
from kdvideo.data.readers.decode import count_frames, read_frames

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
SPECS = {
    "usual": ClipSpec(clip_len=4, size=56),
    "short side": ClipSpec(clip_len=4, frame_stride=2, size=48, short_side=51, modality="rgb"),
    "bicubic": ClipSpec(clip_len=4, size=64, interpolation="bicubic", modality="rgb"),
    "squash": ClipSpec(clip_len=4, size=40, short_side=44, resize="squash", modality="rgb"),
}


@pytest.fixture(scope="module")
def video(tiny_dataset: Path) -> Path:
    return sorted(tiny_dataset.glob("*/*.avi"))[0]


def some_frames(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("channels", ["first", "last"])
def test_pixels_are_those_of_embed(video: Path, spec: ClipSpec, channels: str):
    """The first of the clips of a video, to the bit, from its decoded frames."""
    expected = kdvideo.prepare_clips(kdvideo.load_clips(video, spec, num_clips=1)[0], spec)
    (places,) = plan_uniform_clips(spec, 1, num_frames=count_frames(video))
    frames = read_frames(video, places)
    assert frames.shape[-2:] != (spec.size, spec.size)
    given = frames.permute(0, 2, 3, 1) if channels == "last" else frames
    assert torch.equal(spec.transform()(given), expected)
    assert torch.equal(spec.transform()(given.numpy()), expected)


@pytest.mark.parametrize("shape", [(2, 4, 3, 50, 70), (2, 4, 50, 70, 3)])
def test_batches(shape: tuple[int, ...]):
    """Dimensions before the frames' own stay."""
    frames, transform = some_frames(*shape), SPECS["usual"].transform()
    batch = transform(frames)
    assert batch.shape == (2, 3, 4, 56, 56)
    assert all(torch.equal(one, transform(clip)) for one, clip in zip(batch, frames, strict=True))


def test_a_models_transform():
    """A model takes what its own transform gives, a classifier as well."""
    model = kdvideo.create_model(SHIPPED, pretrained=True).eval()
    clip = model.clip_spec.transform()(some_frames(8, 72, 96, 3))
    with torch.no_grad():
        assert model(clip[None]).shape == (1, 128)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.rand(4, 3, 60, 60), r"frames are float32 \[4, 3, 60, 60\]; they must be uint8 \[T, C, H, W\] or"),
        (some_frames(5, 3, 60, 60), r"there are 5 frames, the network takes clips of 4: .* frames\[:4\]"),
        (some_frames(3, 4, 60, 60), r"\[3, 4, 60, 60\]; they must be .*: one of these two must have 3 channels"),
        (some_frames(4, 3, 60, 3), "its width is 3, too"),
        (some_frames(3, 60, 60), "a clip is 3 of 4 dimensions"),
        (some_frames(4, 3, 0, 60), "there is no pixel in them"),
    ],
)
def test_refused(frames: Tensor, message: str):
    """What it does not take, it says in one line, with what is expected."""
    with pytest.raises(ValueError, match=message) as error:
        SPECS["usual"].transform()(frames)
    assert "\n" not in str(error.value)


def test_length_is_explained():
    """A stride is part of the explanation."""
    with pytest.raises(ValueError, match=r"give as many, e.g. frames\[::2\]\[:4\]"):
        SPECS["short side"].transform()(some_frames(16, 3, 60, 60))
    with pytest.raises(ValueError, match="spread evenly over the video"):
        ClipSpec(clip_len=4, sampling="uniform").transform()(some_frames(16, 3, 60, 60))


@pytest.mark.parametrize("clips", [torch.rand(2, 3, 4, 56, 56), some_frames(2, 4, 56, 56, 3), some_frames(3, 4, 56)])
def test_prepare_clips_refuses(clips: Tensor):
    """Floats were divided by 255 once more, other layouts ended in torch's own words."""
    with pytest.raises(ValueError, match=r"they must be uint8 \[\.\., 3, T, H, W\], from 0 to 255"):
        kdvideo.prepare_clips(clips, SPECS["usual"])
