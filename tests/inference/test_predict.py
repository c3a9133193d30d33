"""Answers of a model for real files: classes, neighbours, reasons."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import kdvideo
from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.data.plan import plan_uniform_clips
from kdvideo.data.readers.decode import count_frames, read_frames
from kdvideo.inference.gallery import write_features
from kdvideo.inference.predict import Predictor, compute_features
from kdvideo.inference.videos import compute_video_outputs, list_videos
from kdvideo.zoo.sources import resolve_weights

SPEC = ClipSpec(clip_len=8, size=32, modality="rgb")
SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


@pytest.fixture
def videos(tiny_dataset: Path) -> list[Path]:
    return list_videos([tiny_dataset])[:4]


def test_outputs_are_those_of_uniform_clips(videos: list[Path]):
    """Each clip's feature equals decoding, resizing, cropping and running it by hand."""
    from torchvision.transforms.v2 import functional as F

    torch.manual_seed(0)
    model = kdvideo.create_model("c3d", width=4, clip_spec=SPEC).eval()
    (one,) = compute_video_outputs(model, videos[:1], spec=SPEC, num_clips=3)
    assert one.num_frames == count_frames(videos[0])
    for clip, feature in zip(plan_uniform_clips(SPEC, 3, num_frames=one.num_frames), one.output, strict=True):
        frames = F.resize(read_frames(videos[0], clip), [37], antialias=True)
        height, width = ((room - 32 + 1) // 2 for room in frames.shape[-2:])
        cut = frames[..., height : height + 32, width : width + 32].transpose(0, 1)
        with torch.inference_mode():
            expected = model(prepare_clips(cut[None], SPEC))[0]
        # The batch of three clips sums in another order than a single one.
        torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-5)


def test_a_classifier_gives_its_classes(classifier: str, videos: list[Path]):
    """Mean probabilities, the best first, under the entry's names."""
    answers = list(Predictor(classifier)(videos, top=9))
    assert [one.video for one in answers] == videos
    for one in answers:
        assert sorted(answer.class_name for answer in one.best) == ["a", "b", "c"]
        probabilities = [answer.probability for answer in one.best]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)


def test_a_network_without_classes_is_refused(classifier: str, videos: list[Path]):
    """`reset_classifier(0)` takes them away; an answer ended in an IndexError."""
    model = kdvideo.create_model(classifier, pretrained=True)
    model.reset_classifier(0)
    with pytest.raises(ValueError, match=r"^the model in memory tells no classes apart"):
        kdvideo.predict(videos, model=model)


def test_neighbours_find_the_video_itself(videos: list[Path], tmp_path: Path):
    """A gallery that holds the query has it first, with similarity 1; an unreadable file gets its reason."""
    folder = videos[0].parent
    outputs, facts = compute_features(SHIPPED, list_videos([folder]))
    assert facts.model == SHIPPED
    write_features(tmp_path / "g.parquet", outputs, root=folder, facts=facts)
    (tmp_path / "torn.mp4").write_bytes(b"no video")
    answer, reason = Predictor(SHIPPED, gallery=tmp_path / "g.parquet")([videos[0], tmp_path / "torn.mp4"], top=1)
    assert [one.video for one in answer.best] == [videos[0].name]
    assert answer.best[0].similarity == pytest.approx(1, abs=1e-5)
    assert reason.best == []
    assert reason.problem == "cannot be opened: Invalid data found when processing input"


def test_a_full_gpu_is_one_line(classifier: str, videos: list[Path], monkeypatch: pytest.MonkeyPatch):
    """Another process may have filled it since the network was moved there."""

    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    answers = Predictor(classifier)(videos)
    monkeypatch.setattr("kdvideo.inference.videos.compute_outputs", fail)
    with pytest.raises(MemoryError, match=r"^the GPU is out of memory: end what else uses it, or choose an"):
        next(answers)


def test_a_gallery_of_another_model_is_refused(videos: list[Path], tmp_path: Path, classifier: str):
    """Features of two models cannot be compared; and where there is neither class nor gallery, the error says so."""
    outputs, facts = compute_features(SHIPPED, videos[:1])
    write_features(tmp_path / "g.parquet", outputs, root=videos[0].parent, facts=replace(facts, sha256="00" * 32))
    with pytest.raises(ValueError, match=r"was made by r3d_10_w16.*sha256 00000000, not by .*: make it again"):
        Predictor(SHIPPED, gallery=tmp_path / "g.parquet")
    with pytest.raises(ValueError, match=r"tells no classes apart and has no gallery: give `gallery`"):
        Predictor(str(shutil.copy(resolve_weights(SHIPPED).path, tmp_path)))  # away from the gallery that ships


def test_paths_are_checked(tmp_path: Path):
    with pytest.raises(ValueError, match="does not exist: give a video or a folder"):
        list_videos([tmp_path / "nothing.avi"])
    with pytest.raises(ValueError, match="holds no video"):
        list_videos([tmp_path])
