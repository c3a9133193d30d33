"""The table of features, and its nearest neighbours."""

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file, save_file

from kdvideo.data.datasets.rebuild import find_subset_list, read_subset_list
from kdvideo.inference.gallery import Gallery, GalleryFacts, write_features
from kdvideo.inference.videos import VideoOutput
from kdvideo.paths import zoo_root
from kdvideo.zoo.folder import Zoo, gallery_file
from kdvideo.zoo.sources import resolve_weights

FACTS = GalleryFacts(model="a_model", sha256="ab" * 32, num_clips=2)
FACTS_TEXT = json.dumps(asdict(FACTS))
ROWS = '{"video": ["a.avi"], "class": [""], "problem": [null]}'


def written(path: Path, features: dict[str, list[list[float]] | None]) -> int:
    outputs = [
        VideoOutput(Path("/root") / name, 9, None if clips is None else torch.tensor(clips), None if clips else "torn")
        for name, clips in features.items()
    ]
    return write_features(path, outputs, root=Path("/root"), facts=FACTS)


def test_table_has_a_row_a_video(tmp_path: Path):
    """The mean of the clips, the folder as the class, the reason where there is no feature."""
    failed = written(tmp_path / "f.parquet", {"run/a.avi": [[1.0, 3.0], [3.0, 5.0]], "b.avi": None})
    assert failed == 1
    assert parquet.read_table(tmp_path / "f.parquet").to_pylist() == [
        {"video": "run/a.avi", "class": "run", "num_frames": 9, "feature": [2.0, 4.0], "problem": None},
        {"video": "b.avi", "class": "", "num_frames": 9, "feature": None, "problem": "torn"},
    ]


def test_nearest_is_a_sort_by_cosine(tmp_path: Path):
    """Neighbours equal a slow loop, however long the features are; videos without one are not among them."""
    generator = torch.Generator().manual_seed(0)
    features = 10 * torch.randn(20, 6, generator=generator)
    videos = {f"class{i % 3}/{i}.avi": [row.tolist()] for i, row in enumerate(features)}
    written(tmp_path / "f.parquet", {**videos, "torn.avi": None})
    gallery = Gallery.read(tmp_path / "f.parquet")
    assert gallery.facts == FACTS
    query = torch.randn(6, generator=generator)
    cosines = {
        name: sum(a * b for a, b in zip(query.tolist(), clips[0], strict=True))
        / (query.norm().item() * torch.tensor(clips[0]).norm().item())
        for name, clips in videos.items()
    }
    expected = sorted(cosines, key=lambda name: -cosines[name])
    nearest = gallery.nearest(query, 99)
    assert [one.video for one in nearest] == expected
    assert [one.class_name for one in nearest] == [name.split("/")[0] for name in expected]
    assert [one.similarity for one in nearest] == pytest.approx([cosines[name] for name in expected], abs=1e-5)
    assert gallery.nearest(query, 3) == nearest[:3]


def test_what_is_no_gallery_is_named(tmp_path: Path):
    """No file, no Parquet, another table, no feature at all."""
    with pytest.raises(ValueError, match=r"missing\.parquet does not exist: a gallery is what `kdvideo embed"):
        Gallery.read(tmp_path / "missing.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    parquet.write_table(pa.table({"video": ["a"]}), tmp_path / "other.parquet")
    for name in ("text.parquet", "other.parquet"):
        with pytest.raises(ValueError, match=rf"{name} is no gallery \("):
            Gallery.read(tmp_path / name)
    written(tmp_path / "empty.parquet", {"b.avi": None})
    with pytest.raises(ValueError, match="has no video with a feature"):
        Gallery.read(tmp_path / "empty.parquet")


def test_both_formats_hold_the_same(tmp_path: Path):
    """A gallery is the same to the bit from Parquet and from safetensors; another ending is refused first."""
    features = {"run/a.avi": [[0.1, 3.0], [3.0, 5.7]], "walk/b.avi": [[1 / 3, 1.0]], "torn.avi": None}
    galleries = []
    for suffix in ("parquet", "safetensors"):
        assert written(tmp_path / f"f.{suffix}", features) == 1
        galleries.append(Gallery.read(tmp_path / f"f.{suffix}"))
    one, other = galleries
    assert torch.equal(one.features, other.features)
    assert (one.names, one.class_names, one.facts) == (other.names, other.class_names, other.facts)
    with pytest.raises(ValueError, match=r"f\.csv; its name must end in \.parquet, or in \.safetensors"):
        written(tmp_path / "f.csv", features)


@pytest.mark.parametrize(
    ("feature", "metadata"),
    [
        (torch.ones(1, 2), {"kdvideo": "{}"}),
        (torch.ones(1, 2), {"kdvideo": FACTS_TEXT, "rows": "[]"}),
        (torch.ones(1, 2), {"kdvideo": FACTS_TEXT, "rows": '{"video": [1], "class": [""], "problem": [null]}'}),
        (torch.ones(2, 2), {"kdvideo": FACTS_TEXT, "rows": ROWS}),
        (torch.ones(1), {"kdvideo": FACTS_TEXT, "rows": ROWS}),
        (torch.ones(1, 2), {"kdvideo": '{"model": 1, "sha256": "", "num_clips": 1}', "rows": ROWS}),
    ],
)
def test_safetensors_that_are_no_gallery(tmp_path: Path, feature: torch.Tensor, metadata: dict):
    """Files come from other people: what does not fit together is named in one line."""
    save_file({"feature": feature}, tmp_path / "g.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=r"^[^\n]*g\.safetensors is no gallery \([^\n]*$"):
        Gallery.read(tmp_path / "g.safetensors")
    save_file({"feature": torch.ones(1, 2)}, tmp_path / "g.safetensors", metadata={"kdvideo": FACTS_TEXT, "rows": ROWS})
    assert Gallery.read(tmp_path / "g.safetensors").names == ["a.avi"]


def test_what_ships_has_its_gallery():
    """The training videos alone, features of the very weights, in float16; all that ships is 15 MB at most."""
    weights = zoo_root() / "weights"
    shipped = [entry for entry in Zoo.packaged().entries() if (weights / entry.file).exists()]
    assert len(shipped) >= 6
    training = {one.name for one in read_subset_list(find_subset_list("ucf101mini")) if one.subset == "train"}
    for entry in shipped:
        path = gallery_file(resolve_weights(entry.name).path)
        gallery = Gallery.read(path)
        assert gallery.facts == GalleryFacts(entry.name, entry.sha256, num_clips=10)
        assert set(gallery.names) == training
        assert gallery.class_names == [name.split("/")[0] for name in gallery.names]
        assert load_file(path)["feature"].dtype == torch.float16
    assert sum(file.stat().st_size for file in weights.iterdir()) <= 15e6


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["run/camA/1.avi", "run/camB/1.avi", "walk/1.avi", "2.avi"], ["run", "run", "walk", ""]),
        (["train/run/day1/1.avi", "val/walk/1.avi"], ["run", "walk"]),
        (["train/1.avi", "ship/1.avi"], ["train", "ship"]),  # a class called train
    ],
)
def test_the_class_is_the_first_folder(tmp_path: Path, names: list[str], classes: list[str]):
    """Not the subject's or camera's, in which the video lies."""
    outputs = [VideoOutput(tmp_path / name, 1, torch.ones(1, 2)) for name in names]
    write_features(tmp_path / "g.parquet", outputs, root=tmp_path, facts=GalleryFacts("m", "00", 1))
    assert Gallery.read(tmp_path / "g.parquet").class_names == classes
