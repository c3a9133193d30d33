"""A table of features in parts: the parts together give what one process writes."""

import os
from pathlib import Path

import pytest
from safetensors import safe_open

from kdvideo.cli import main
from kdvideo.inference import embed
from kdvideo.inference.embed import embed_videos
from kdvideo.inference.embed_parts import facts_of_part, read_parts, table_of
from kdvideo.inference.gallery import GalleryFacts, write_features


@pytest.fixture
def folder(tiny_dataset: Path, tmp_path: Path) -> Path:
    """Five videos, one of which is none."""
    made = tmp_path / "videos"
    for number, video in enumerate(sorted(tiny_dataset.rglob("*.avi"))[::5]):
        (made / f"class{number % 2}").mkdir(parents=True, exist_ok=True)
        (made / f"class{number % 2}" / f"{number}.avi").symlink_to(video)
    (made / "class0" / "torn.avi").write_bytes(b"")
    return made


def content(table: Path) -> object:
    """A Parquet table's bytes; safetensors' metadata and tensors, since it writes metadata in any order."""
    if table.suffix == ".parquet":
        return table.read_bytes()
    with safe_open(table, framework="pt") as file:
        return file.metadata(), file.get_tensor("feature").tolist()


@pytest.mark.parametrize("suffix", [".parquet", ".safetensors"])
def test_parts_are_joined_to_the_same_table(folder: Path, classifier: str, tmp_path: Path, suffix: str, monkeypatch):
    """In any order, one of them repeated; the last call computes only what no part has."""
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    names = embed_videos(folder, model=classifier, out=whole, num_clips=2).names
    seen = []
    for part in ((3, 3), (1, 3), (3, 3)):
        done = embed_videos(folder, model=classifier, out=out, num_clips=2, part=part)
        seen += [*done.names, *done.problems]
        assert not out.exists()
    assert len(set(seen)) < len(names) + 1
    computed = []
    compute = embed.compute_features

    def count(source: str, paths: list[Path], **options: object) -> object:
        computed.extend(paths)
        return compute(source, paths, **options)

    monkeypatch.setattr(embed, "compute_features", count)
    done = embed_videos(folder, model=classifier, out=out, num_clips=2)
    assert {str(path) for path in computed} == {*names, str(folder / "class0" / "torn.avi")} - {*seen}
    assert done.names == names
    assert content(out) == content(whole)
    assert not list(tmp_path.glob("parts.part-*"))


def test_a_part_holds_for_its_videos_and_its_model(folder: Path, classifier: str, tmp_path: Path, capsys):
    """A video that has changed is computed again; parts of other clips are refused, and a damaged file."""
    whole, out = tmp_path / "whole.safetensors", tmp_path / "t.safetensors"
    command = ["embed", str(folder), "--model", classifier, "--clips", "1", "--out"]
    assert main([*command, str(out), "--part", "1/2"]) == 0
    changed = folder / "class0" / "0.avi"
    video = changed.resolve().read_bytes()
    changed.unlink()
    changed.write_bytes(sorted(folder.glob("class1/*"))[0].read_bytes())
    os.utime(changed, ns=(1 << 61, 1 << 61))
    assert main([*command, str(whole)]) == 0
    assert main([*command, str(out)]) == 0
    assert content(out) == content(whole)
    assert video != changed.read_bytes()
    assert main([*command, str(out), "--part", "1/2"]) == 0
    capsys.readouterr()
    assert main([*command[:-2], "2", "--out", str(out)]) == 2
    assert "is a part of another table, of c3d_w4.tiny with 1 clips: remove it" in capsys.readouterr().err
    (tmp_path / "t.part-1-of-2.safetensors").write_bytes(b"x")
    assert main([*command, str(out)]) == 2
    assert "t.part-1-of-2.safetensors is no part of a table of features" in capsys.readouterr().err


def test_parts_of_another_folder_are_not_taken(folder: Path, tmp_path: Path):
    """Names below it are the same; a table itself says no folder."""
    facts, out = GalleryFacts("m", "00", 1), tmp_path / "t.parquet"
    write_features(table_of(out, (1, 2)), [], root=folder, facts=facts_of_part(facts, root=folder))
    known = read_parts(out, None, root=folder)
    known.check(facts)
    assert len(known.facts) == 1
    with pytest.raises(ValueError, match=rf"is a part of the table of {folder}, not of {tmp_path}: remove t\.part-\*"):
        read_parts(out, None, root=tmp_path)
    write_features(tmp_path / "whole.safetensors", [], root=folder, facts=facts)
    assert "root" not in str(content(tmp_path / "whole.safetensors"))
