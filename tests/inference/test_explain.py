"""Grad-CAM of whole videos: which frames, which class, and that the gradient is the whole video's."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from kdvideo.cli import main
from kdvideo.data.clip_spec import prepare_clips
from kdvideo.data.plan import plan_uniform_clips
from kdvideo.data.readers.decode import count_frames
from kdvideo.inference.explain import explain_video, scores_of
from kdvideo.inference.gallery import write_features
from kdvideo.inference.predict import Predictor, compute_features
from kdvideo.inference.videos import list_videos
from kdvideo.models.spec import backbone_of
from kdvideo.zoo.sources import resolve_weights

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


@pytest.fixture
def gallery(tiny_dataset: Path, tmp_path: Path) -> Path:
    """The tiny dataset by the shipped model, one clip a video."""
    outputs, facts = compute_features(SHIPPED, list_videos([tiny_dataset]), num_clips=1)
    write_features(tmp_path / "g.parquet", outputs, root=tiny_dataset, facts=facts)
    return tmp_path / "g.parquet"


@pytest.fixture
def video(tiny_dataset: Path) -> Path:
    return list_videos([tiny_dataset])[0]


def whole_video_heat(predictor: Predictor, video: Path, class_name: str) -> dict[int, Tensor]:
    """Slow: one graph of all clips, one score, and each frame's mean over the clips that have it, by a loop."""
    from torchvision.transforms.v2 import functional as pictures

    from kdvideo.data.readers.decode import read_frames

    backbone, scores = backbone_of(predictor.model), scores_of(predictor)
    spec, device = backbone.clip_spec, next(backbone.parameters()).device
    num_frames = count_frames(video)
    plans = plan_uniform_clips(spec, -(-2 * (num_frames - spec.clip_len) // spec.clip_len) + 1, num_frames=num_frames)
    clips = []
    for plan in plans:
        frames = pictures.resize(read_frames(video, plan), [round(spec.size * 8 / 7)], antialias=True)
        top, left = ((room - spec.size + 1) // 2 for room in frames.shape[-2:])
        clips.append(frames[..., top : top + spec.size, left : left + spec.size].transpose(0, 1))
    maps = backbone.forward_features(prepare_clips(torch.stack(clips).to(device), spec))
    score = scores.of(maps.mean(dim=(2, 3, 4)).mean(dim=0))[scores.names.index(class_name)]
    (gradient,) = torch.autograd.grad(score, maps)
    weights = len(plans) * gradient.mean(dim=(2, 3, 4), keepdim=True)
    heat = F.interpolate(
        (weights * maps).sum(dim=1, keepdim=True).relu(), (spec.clip_len, *[spec.size] * 2), mode="trilinear"
    )
    by_frame: dict[int, list[Tensor]] = {}
    for plan, one in zip(plans, heat[:, 0], strict=True):
        for frame, values in zip(plan, one, strict=True):
            by_frame.setdefault(frame, []).append(values)
    return {frame: torch.stack(values).mean(dim=0).detach().cpu() for frame, values in by_frame.items()}


@pytest.mark.parametrize("kind", ["classifier", "gallery"])
def test_is_grad_cam_of_the_whole_videos_score(kind: str, classifier: str, gallery: Path, video: Path):
    """A logit of the mean feature, a cosine of the mean feature: one graph over all clips gives the same heat."""
    predictor = Predictor(classifier) if kind == "classifier" else Predictor(SHIPPED, gallery=gallery)
    name = "b" if kind == "classifier" else "BallSwing"
    cam = explain_video(predictor, video, class_name=name)
    expected = whole_video_heat(predictor, video, name)
    assert cam.numbers == list(range(count_frames(video))) == sorted(expected)
    heat = torch.stack([expected[number] for number in cam.numbers])
    # Batches of four sum in another order than one of all clips, and a GPU convolves them by another algorithm. Heat
    # near 0 is a sum over channels of both signs: their last bits remain, on an H100 1.2e-5 of the maximum.
    torch.testing.assert_close(cam.heat, heat, rtol=1e-3, atol=1e-4 * heat.max().item())
    assert heat.max() > 0
    assert cam.frames.shape == (len(cam.numbers), 3, *heat.shape[1:])
    kinds = {"classifier": "logit of b, ", "gallery": "cosine to the mean feature of BallSwing, "}
    assert cam.score.startswith(kinds[kind])


def test_the_class_is_the_highest_one(classifier: str, gallery: Path, video: Path):
    """Unless one is asked for: the highest logit; the class whose mean feature is nearest."""
    predictor = Predictor(SHIPPED, gallery=gallery)
    read = predictor.gallery
    assert read is not None
    names = sorted(set(read.class_names))
    means = {name: read.features[[own == name for own in read.class_names]].mean(dim=0) for name in names}
    feature = read.features[0]
    device = next(predictor.model.parameters()).device
    scores = scores_of(predictor)
    assert scores.names == names
    expected = [F.cosine_similarity(mean, feature, dim=0).item() for mean in means.values()]
    assert scores.of(3 * feature.to(device)).tolist() == pytest.approx(expected, abs=1e-6)
    said = explain_video(Predictor(classifier), video).score
    others = [explain_video(Predictor(classifier), video, class_name=name).score for name in "abc"]
    assert said == max(others, key=lambda text: float(text.rpartition(" ")[2]))


def test_command(classifier: str, gallery: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """An image that can be opened for either kind of model; mistakes in one line."""
    out = tmp_path / "g.png"
    own = ["picture", "gradcam", str(video), "--out", str(out)]
    for arguments in (["--gallery", str(gallery)], ["--model", classifier, "--class", "c"]):
        assert main([*own, *arguments]) == 0
        with Image.open(out) as image:
            assert image.size[0] > image.size[1] > 500
        out.unlink()
    capsys.readouterr()
    torn = tmp_path / "torn.avi"
    torn.write_bytes(b"no video")
    alone = shutil.copy(resolve_weights("r3d_10_w16.pcl-vcp_ucf101mini-s1").path, tmp_path)  # away from its gallery
    wrong = {
        "unknown class 'd': choose one of a, b, c": [*own, "--model", classifier, "--class", "d"],
        "has no gallery: give --gallery": [*own, "--model", str(alone)],
        "torn.avi cannot be opened": ["picture", "gradcam", str(torn), "--out", str(out), "--model", classifier],
        "nobody.knows": [*own, "--model", "nobody.knows"],
        "is no gallery (": [*own, "--gallery", str(torn)],
    }
    for message, arguments in wrong.items():
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not out.exists()


def test_a_gallery_of_one_class_is_refused(tiny_dataset: Path, video: Path, tmp_path: Path):
    """There would be nothing to tell apart."""
    outputs, facts = compute_features(SHIPPED, list_videos([video.parent])[:2], num_clips=1)
    write_features(tmp_path / "one.parquet", outputs, root=tiny_dataset, facts=facts)
    with pytest.raises(
        ValueError, match=f"the gallery has one class, '{video.parent.name}': embed a folder of folders"
    ):
        explain_video(Predictor(SHIPPED, gallery=tmp_path / "one.parquet"), video)
