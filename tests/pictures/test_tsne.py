"""t-SNE pictures of known features, and of a model before and after."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import kdvideo
from kdvideo.cli import main
from kdvideo.inference.gallery import Gallery, GalleryFacts, write_features
from kdvideo.inference.untrained import untrained_gallery
from kdvideo.inference.videos import VideoOutput, compute_video_outputs, list_videos
from kdvideo.pictures.tsne import chance_purity, draw_tsne, map_to_plane, neighbour_purity
from kdvideo.zoo.sources import find_entry

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


def clusters(per_class: int = 12, num_classes: int = 4) -> tuple[np.ndarray, list[str]]:
    """Unit vectors around an axis a class."""
    generator = np.random.default_rng(0)
    points = np.repeat(np.eye(num_classes, 8), per_class, axis=0) + generator.normal(
        0, 0.1, (per_class * num_classes, 8)
    )
    classes = [f"class {i // per_class}" for i in range(per_class * num_classes)]
    return points / np.linalg.norm(points, axis=1, keepdims=True), classes


def test_purity_equals_a_slow_loop():
    """Of random points: the five nearest others by sorting all distances."""
    generator = np.random.default_rng(0)
    points, classes = generator.normal(size=(40, 3)), [f"{i}" for i in generator.integers(0, 3, 40)]
    shares = []
    for i in range(40):
        others = sorted((j for j in range(40) if j != i), key=lambda j: ((points[i] - points[j]) ** 2).sum())
        shares.append(sum(classes[j] == classes[i] for j in others[:5]) / 5)
    assert neighbour_purity(points, classes) == pytest.approx(np.mean(shares))


def test_chance_purity_is_what_random_points_have():
    """The mean over many draws, and a closed form: of two classes of two, one of three others is a video's own."""
    assert chance_purity(["a", "a", "b", "b"]) == pytest.approx(1 / 3)
    classes = ["a"] * 30 + ["b"] * 10
    generator = np.random.default_rng(0)
    measured = [neighbour_purity(generator.normal(size=(40, 2)), classes) for _ in range(300)]
    assert np.mean(measured) == pytest.approx(chance_purity(classes), abs=4 * np.std(measured) / np.sqrt(300))


def test_points_are_the_same_every_time():
    """Bit for bit with one seed; clusters in the features are clusters in the plane."""
    features, classes = clusters()
    points = map_to_plane(features)
    assert (points == map_to_plane(features)).all()
    assert neighbour_purity(features, classes) == neighbour_purity(points, classes) == 1


def test_panels_say_what_they_show():
    """Titles have the purity of features and of drawn points; every class is in the legend once, in its colour."""
    features, classes = clusters()
    noise = np.random.default_rng(1).permutation(features)
    figure = draw_tsne({"before": noise, "after": features}, classes)
    before, after = figure.axes
    assert after.get_title() == "after\npurity of the features 1.00, of the points 1.00"
    points = map_to_plane(noise)
    numbers = f"{neighbour_purity(noise, classes):.2f}, of the points {neighbour_purity(points, classes):.2f}"
    assert before.get_title() == f"before\npurity of the features {numbers}"
    drawn = {dots.get_label(): dots.get_offsets() for dots in before.collections}
    assert {name: len(dots) for name, dots in drawn.items()} == dict.fromkeys(sorted(set(classes)), 12)
    assert np.allclose(drawn["class 2"], points[24:36])
    assert figure.get_supxlabel().endswith(f"{11 / 47:.2f} by chance")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == sorted(set(classes))


def test_more_classes_than_signs():
    """The most frequent ones have signs, no two the same; the rest is one grey group."""
    features, _ = clusters(per_class=30)
    classes = [f"{i % 40 if i < 120 else 0:02d}" for i in range(120)]
    (axes,) = draw_tsne({"x": features}, classes).axes
    labels = [dots.get_label() for dots in axes.collections]
    assert labels[0] == "other classes"
    assert len(labels) == 25
    signs = {(str(dots.get_facecolor()), dots.get_paths()[0].vertices.tobytes()) for dots in axes.collections[1:]}
    assert len(signs) == 24


@pytest.mark.parametrize(
    ("features", "classes", "message"),
    [
        (np.eye(3), ["a", "a", "b"], "t-SNE needs 4 videos or more, there are 3"),
        (np.ones((5, 2)), ["a", "a", "b", "b", "b"], "all features are the same"),
        (np.eye(5), ["a"] * 5, "all videos are of one: 'a'"),
    ],
)
def test_what_cannot_be_drawn(features: np.ndarray, classes: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        draw_tsne({"x": features}, classes)


@pytest.fixture
def gallery(tiny_dataset: Path, tmp_path: Path) -> Path:
    """Random features of the tiny dataset's videos, said to be of the shipped model."""
    facts = GalleryFacts(SHIPPED, find_entry(SHIPPED)[0].sha256, 1)
    outputs = [VideoOutput(path, 64, torch.rand(1, 8)) for path in list_videos([tiny_dataset])]
    write_features(tmp_path / "features.parquet", outputs, root=tiny_dataset, facts=facts)
    return tmp_path / "features.parquet"


def test_untrained_features_are_those_of_seed_0(tiny_dataset: Path, gallery: Path):
    """Of the entry's own network and clips, in the order of the table."""
    after = Gallery.read(gallery)
    before = untrained_gallery(after, tiny_dataset)
    assert (before.names, before.class_names, before.facts) == (after.names, after.class_names, after.facts)
    spec = find_entry(SHIPPED)[0].model
    torch.manual_seed(0)
    backbone = kdvideo.create_model("r3d_10", clip_spec=spec.clip_spec, width=16).eval()
    paths = [tiny_dataset / name for name in after.names[:2]]
    expected = [one.output[0] for one in compute_video_outputs(backbone, paths, spec=spec.clip_spec, num_clips=1)]
    torch.testing.assert_close(before.features[:2], torch.nn.functional.normalize(torch.stack(expected), dim=1))


def test_command(tiny_dataset: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """An image that can be opened; a lost model, another model and a lost video cost one line."""
    out = tmp_path / "t.png"
    arguments = ["picture", "tsne", str(gallery), str(tiny_dataset), "--out", str(out)]
    assert main(arguments) == 0
    with Image.open(out) as image:
        assert image.size[0] > image.size[1] > 300
    capsys.readouterr()
    wrong = {
        "nobody.knows": [*arguments, "--model", "nobody.knows"],
        "nowhere is not a folder": [*arguments[:3], "nowhere", *arguments[4:]],
        "which the gallery has a feature of: ": [*arguments[:3], str(tmp_path), *arguments[4:]],
        "is no gallery (": ["picture", "tsne", __file__, str(tiny_dataset), "--out", str(out)],
    }
    for message, mistaken in wrong.items():
        assert main(mistaken) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("kdvideo: error: ") == 1
        assert "Traceback" not in error


def test_another_models_gallery_is_refused(tiny_dataset: Path, gallery: Path, tmp_path: Path):
    facts = GalleryFacts(SHIPPED, "ab" * 32, 1)
    read = Gallery.read(gallery)
    with pytest.raises(ValueError, match=f"the gallery was made by {SHIPPED}, sha256 abababab, not by"):
        untrained_gallery(Gallery(read.names, read.class_names, read.features, facts), tiny_dataset)
