"""Retrieval grids of a gallery whose features are known."""

import base64
import io
import logging
from pathlib import Path

import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from kdvideo.cli import main
from kdvideo.inference.gallery import GalleryFacts, write_features
from kdvideo.inference.neighbours import build_grid
from kdvideo.inference.videos import VideoOutput
from kdvideo.pictures.retrieval import draw_grid
from kdvideo.pictures.style import RIGHT, WRONG

FACTS = GalleryFacts("some.model", "ab" * 32, 1)
ANGLES = {"A/1.avi": 0, "A/2.avi": 10, "B/1.avi": 25, "B/2.avi": 90, "B/gone.avi": 100}  # degrees


@pytest.fixture
def gallery(tiny_dataset: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The file and the folder of five videos, one of which has gone."""
    root = tmp_path / "videos"
    source = next(tiny_dataset.rglob("*.avi")).read_bytes()
    outputs = []
    for name, angle in ANGLES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "gone" not in name:
            path.write_bytes(source)
        radians = torch.tensor(angle).deg2rad()
        outputs.append(VideoOutput(path, 9, torch.stack([radians.cos(), radians.sin()])[None]))
    write_features(tmp_path / "features.parquet", outputs, root=root, facts=FACTS)
    return tmp_path / "features.parquet", root


def test_neighbours(gallery: tuple[Path, Path], caplog: pytest.LogCaptureFixture):
    """By angle, a video is not its own neighbour; 1 finds its class, as do the last two; a lost file has no picture."""
    with caplog.at_level(logging.WARNING, logger="kdvideo"):
        grid = build_grid(*gallery)
    assert (grid.facts, grid.num_videos, grid.hits) == (FACTS, 5, 4 / 5)
    rows = {row.query.video: [picture.video for picture in row.neighbours] for row in grid.rows}
    assert rows["A/2.avi"] == ["A/1.avi", "B/1.avi", "B/2.avi", "B/gone.avi"]
    assert rows["B/1.avi"][0] == "A/2.avi"
    assert grid.rows[0].neighbours[0].similarity == pytest.approx(torch.tensor(10.0).deg2rad().cos().item(), abs=1e-6)
    images = {picture.video: picture.address for row in grid.rows for picture in row.neighbours}
    assert images.pop("B/gone.avi") == ""
    assert "no picture: " in caplog.text
    for image in images.values():
        data = base64.b64decode(image.removeprefix("data:image/jpeg;base64,"))
        assert Image.open(io.BytesIO(data)).size == (96, 96)


def test_names_that_lead_elsewhere_have_no_picture(tiny_dataset: Path, tmp_path: Path):
    """A gallery is somebody else's file: what it names outside the folder is not looked at."""
    outside = next(tiny_dataset.rglob("*.avi"))
    (tmp_path / "videos").mkdir()
    names = [Path("..") / outside.relative_to(tiny_dataset), outside]
    outputs = [VideoOutput(tmp_path / name, 9, torch.rand(1, 2)) for name in names]
    write_features(tmp_path / "f.parquet", outputs, root=Path("/"), facts=FACTS)
    grid = build_grid(tmp_path / "f.parquet", tmp_path / "videos")
    assert {row.query.image for row in grid.rows} == {None}


def test_page(gallery: tuple[Path, Path], tmp_path: Path):
    """The command shows the grid; hits and misses are told by words, too."""
    pytest.importorskip("plotly", reason="reports are an extra, kdvideo[report]")
    out = tmp_path / "r.html"
    assert main(["report", "--out", str(out), "--retrieval", *map(str, gallery)]) == 0
    text = out.read_text("utf-8")
    assert "0.800 of them have a video of their own class nearest" in text
    assert text.count("data:image/jpeg;base64,") == 5 * 5 - 5  # the lost one is a query once, a neighbour four times
    assert text.count('class="no-picture"') == 5
    assert "same class" in text
    assert "other class" in text


def test_mistakes(gallery: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture):
    """No folder, no gallery: one line each."""
    path, root = map(str, gallery)
    for pair, message in (((path, "nowhere"), "nowhere is not a folder"), (("no.parquet", root), "does not exist")):
        assert main(["report", "--out", str(tmp_path / "r.html"), "--retrieval", *pair]) == 2
        assert message in capsys.readouterr().err


def test_picture_frames_right_ones_green_and_wrong_ones_red(gallery: tuple[Path, Path]):
    """Against the neighbours that the angles give: colour, sign and name of every frame."""
    figure = draw_grid(build_grid(*gallery))
    cells = {(axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start): axes for axes in figure.axes}
    names = list(ANGLES)
    for row, query in enumerate(names):
        nearest = sorted((name for name in names if name != query), key=lambda name: abs(ANGLES[name] - ANGLES[query]))
        assert cells[row, 0].get_xlabel() == query[0]
        for column, name in enumerate(nearest, start=2):
            axes, is_right = cells[row, column], name[0] == query[0]
            assert {to_hex(spine.get_edgecolor()) for spine in axes.spines.values()} == {
                (RIGHT if is_right else WRONG).lower()
            }
            assert axes.get_xlabel().startswith(f"{'✓' if is_right else '✗'} {name[0]}\n")
            assert bool(axes.get_images()) == ("gone" not in name)
    assert figure.get_suptitle() == "some.model\nof 5 videos, 0.800 have another one of their class nearest"


def test_picture_without_classes_has_no_colors(gallery: tuple[Path, Path], tmp_path: Path):
    """Videos in one folder: nothing is right or wrong."""
    path, root = gallery
    outputs = [VideoOutput(root / "A" / f"{i}.avi", 9, torch.rand(1, 2)) for i in (1, 2)]
    write_features(path, outputs, root=root, facts=FACTS)
    figure = draw_grid(build_grid(path, root))
    edges = {to_hex(spine.get_edgecolor()) for axes in figure.axes for spine in axes.spines.values()}
    assert edges == {"#000000"}
    out = tmp_path / "r.png"
    assert main(["picture", "retrieval", str(path), str(root), "--out", str(out)]) == 0
    assert Image.open(out).size[0] > 300
