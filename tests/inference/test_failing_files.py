"""Files that fail while they are looked at or afterwards: each has its reason, and the others their answers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pyarrow import parquet

from kdvideo.cli import main
from kdvideo.data.readers import decode
from kdvideo.data.readers.file_errors import VideoError
from kdvideo.inference.gallery import GalleryFacts, write_features
from kdvideo.inference.predict import Predictor
from kdvideo.inference.videos import VideoOutput, list_videos

FACTS = GalleryFacts("model", "00" * 32, 1)


@pytest.fixture
def root(tiny_dataset: Path, tmp_path: Path) -> Path:
    """Two good videos around one that will be broken."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.avi", "breaks.avi", "z.avi"):
        shutil.copyfile(tiny_dataset / "BallRoll/v_BallRoll_g01_c01.avi", folder / name)
    return folder


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One video ends early when its clips are read, after it has been looked at."""
    real = decode.pyav.decode_indices

    def decode_indices(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "breaks.avi":
            raise VideoError(path, "ends before frame 63; it gives 9 of 80 asked for")
        return real(path, *arguments, **options)

    monkeypatch.setattr(decode.pyav, "decode_indices", decode_indices)


@pytest.mark.usefixtures("breaks")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_after_its_probe(root: Path, classifier: str, workers: int):
    """It was: the whole command, with advice about a config key that there is none of."""
    answers = list(Predictor(classifier)(list_videos([root]), num_workers=workers))
    assert [one.problem for one in answers] == [None, "ends before frame 63; it gives 9 of 80 asked for", None]
    assert [len(one.best) for one in answers] == [3, 0, 3]


@pytest.mark.usefixtures("breaks")
def test_grad_cam_of_such_a_file(root: Path, tmp_path: Path, classifier: str, capsys: pytest.CaptureFixture):
    """One line that names the file, as a mistake of the user's."""
    arguments = ["--model", classifier, "--out", str(tmp_path / "cam.png")]
    assert main(["picture", "gradcam", str(root / "breaks.avi"), *arguments]) == 2
    assert capsys.readouterr().err == (
        f"kdvideo: error: video {root}/breaks.avi ends before frame 63; it gives 9 of 80 asked for\n"
    )


def test_links_and_names(root: Path, classifier: str, capsys: pytest.CaptureFixture):
    """A dangling link, a disk that fails and a name that no file can have, given one by one or in a folder."""
    (root / "dangling.avi").symlink_to("nowhere.avi")
    (root / "damaged_disk.avi").symlink_to("/proc/self/mem")  # fails with EIO when it is read
    given = [root, root / "dangling.avi", root / ("n" * 300)]
    assert main(["predict", *map(str, given), "--model", classifier]) == 1
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines[f"{root}/dangling.avi"] == "is a link to nowhere.avi, which does not exist"
    assert lines[f"{root}/damaged_disk.avi"] == "cannot be opened: Input/output error"
    assert lines[f"{root}/{'n' * 300}"] == "cannot be opened: File name too long"
    assert all(lines[f"{root}/{name}"].startswith(("a  0.", "b  0.", "c  0.")) for name in ("a.avi", "z.avi"))


def test_what_was_computed_is_kept(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A failure in the middle costs what has not been computed; the table of an earlier call stays as it was."""
    table = tmp_path / "t.parquet"
    table.write_bytes(b"of an earlier call")

    def outputs() -> Iterator[VideoOutput]:
        for number, name in enumerate(("a.avi", "z.avi")):
            yield VideoOutput(root / name, 64, torch.full((1, 4), float(number)))
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Segmentation fault.")

    with pytest.raises(RuntimeError, match="Segmentation fault"):
        write_features(table, outputs(), root=root, facts=FACTS)
    assert table.read_bytes() == b"of an earlier call"
    rows = parquet.read_table(tmp_path / "t.partial.parquet").to_pylist()
    assert [(row["video"], row["feature"]) for row in rows] == [("a.avi", [0.0] * 4), ("z.avi", [1.0] * 4)]
    assert f"the rows of 2 videos that were finished are in {tmp_path}/t.partial.parquet" in caplog.text


def test_a_place_that_cannot_be_written_is_found_at_once(root: Path, tmp_path: Path):
    """Not after the last video."""
    (tmp_path / "file").touch()

    def outputs() -> Iterator[VideoOutput]:
        raise AssertionError("a video has been looked at")
        yield

    with pytest.raises(OSError, match="file"):
        write_features(tmp_path / "file" / "t.parquet", outputs(), root=root, facts=FACTS)
