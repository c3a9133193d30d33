"""`kdvideo embed`, `predict`, `export` and `doctor` as commands."""

from pathlib import Path

import pytest
import simplejson

from kdvideo.cli import main

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


def test_embed_then_predict(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """A folder becomes a table; with it as gallery a video's nearest one is itself, as text and as JSON."""
    gallery = tmp_path / "g.parquet"
    folder = tiny_dataset / sorted(path.name for path in tiny_dataset.iterdir() if path.is_dir())[0]
    assert main(["embed", str(tiny_dataset), "--out", str(gallery), "--clips", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"{gallery}: 18 videos, 0 without a feature")
    video = str(sorted(folder.rglob("*.*"))[0])
    assert main(["predict", video, "--gallery", str(gallery), "--json", "--top", "1"]) == 0
    answer = simplejson.loads(capsys.readouterr().out)
    assert answer["video"] == video
    assert answer["best"][0]["video"].endswith(Path(video).name)
    (tmp_path / "torn.avi").write_bytes(b"")
    assert main(["predict", str(tmp_path / "torn.avi"), "--gallery", str(gallery), "--device", "cpu"]) == 1
    assert (
        capsys.readouterr().out
        == f"{tmp_path / 'torn.avi'}: cannot be opened: Invalid data found when processing input\n"
    )


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "x.avi").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        (["embed", str(tmp_path / "no"), "--out", "x.parquet"], "is not a folder: give the folder of the videos"),
        (["embed", str(tmp_path / "empty"), "--out", "x.parquet"], "holds no video"),
        (["embed", str(tmp_path), "--out", "x", "--clips", "0"], "--clips is 0; it must be 1 or more"),
        (["predict", str(tmp_path), "--top", "0"], "--top is 0; it must be 1 or more"),
        (["predict", str(tmp_path / "x.avi"), "--device", "gpu"], "--device is 'gpu'; it must be cpu, cuda or"),
        (["embed", str(tmp_path), "--out", "x.parquet", "--device", "cuda:99"], "--device is cuda:99, but "),
        (["eval", SHIPPED, "--device", "tpu", "DATA.ROOT", str(tmp_path)], "--device is 'tpu'; it must be"),
        (["export", "r3d_11", "--out", str(tmp_path / "m.onnx")], "r3d_11"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_export_and_doctor(tmp_path: Path, capsys: pytest.CaptureFixture):
    """The shipped model as a torch-export file with its speed; the doctor's table."""
    assert main(["export", SHIPPED, "--format", "torch-export", "--out", str(tmp_path / "m.pt2")]) == 0
    out = capsys.readouterr().out
    assert "differs from the model by" in out
    assert len(out.splitlines()) == 6
    assert main(["doctor"]) == 0
    assert "video readers" in capsys.readouterr().out
