"""Curves, confusion matrices and what all pictures share; the command that makes them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdvideo.cli import main
from kdvideo.pictures.confusion import draw_confusion, read_confusion
from kdvideo.pictures.curves import draw_curves
from kdvideo.pictures.style import COLORS, save_figure
from kdvideo.report.runs import RunRecord

CSV = 'answered,run,"jump, high"\nrun,3,1\n"jump, high",0,2\n'


def run(name: str, **values: list[float]) -> RunRecord:
    rows = zip(*values.values(), strict=True)
    epochs = [{"epoch": i, **dict(zip(values, row, strict=True))} for i, row in enumerate(rows, start=1)]
    return RunRecord(name, {}, epochs, {})


def test_curves_are_the_runs_numbers():
    """A line a run that has the metric, under its name whatever its letters are; chance where the runs agree on it."""
    runs = [
        run("_hidden $x", pretext_accuracy=[0.2, 0.6], majority_share=[0.2, 0.2]),
        run("other", pretext_accuracy=[0.3, 0.4], majority_share=[0.2, 0.2], loss=[5.0, 4.0]),
    ]
    figure = draw_curves(runs, ["pretext_accuracy", "loss"])
    accuracy, loss = figure.axes
    assert [line.get_ydata().tolist() for line in accuracy.get_lines()[:2]] == [[0.2, 0.6], [0.3, 0.4]]
    assert accuracy.get_lines()[2].get_ydata() == [0.2, 0.2]
    assert [line.get_xydata().tolist() for line in loss.get_lines()] == [[[1, 5], [2, 4]]]
    assert accuracy.get_lines()[1].get_color() == loss.get_lines()[0].get_color() == COLORS[1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][:2] == ["_hidden $x", "other"]
    with pytest.raises(ValueError, match="no run has a metric 'los': choose from loss, majority_share, pretext_acc"):
        draw_curves(runs, ["los"])


def test_names_that_are_no_text(tmp_path: Path):
    """Bytes of a folder or a table that are no UTF-8 become question marks, not a traceback."""
    save_figure(draw_curves([run("caf\udce9", pretext_accuracy=[0.5])]), tmp_path / "c.png")
    (tmp_path / "c.csv").write_bytes(b"x,caf\xe9,b\ncaf\xe9,1,0\nb,0,1\n")
    save_figure(draw_confusion(*read_confusion(tmp_path / "c.csv")), tmp_path / "d.png")


def test_confusion_is_shares_of_rows_with_counts(tmp_path: Path):
    """Colours are count / row sum, texts are counts; a class without a video is a row of zeros."""
    (tmp_path / "c.csv").write_text(CSV)
    counts, names = read_confusion(tmp_path / "c.csv")
    assert counts.tolist() == [[3, 1], [0, 2]]
    assert names == ["run", "jump, high"]
    axes, _ = draw_confusion(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]), ["a", "b", "c"]).axes
    (image,) = axes.get_images()
    assert image.get_array().tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    assert {text.get_position(): text.get_text() for text in axes.texts} == {(0, 0): "3", (1, 0): "1", (1, 1): "2"}
    assert axes.get_title(loc="left") == "5 of 6 right: 0.833"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no confusion matrix"),
        ("x,a,b\na,1\nb,1,2\n", "is no confusion matrix"),
        ("x,a,b\na,1,2\nc,1,2\n", "is no confusion matrix of 2 classes"),
        ("x,a,b\na,1,2\n", "is no confusion matrix of 2 classes"),
        ("x,a\na,-1\n", "is no confusion matrix of 1 classes"),
        ("x,a\na,0.5\n", "is no confusion matrix (invalid literal"),
        ("x,a\na,1" + "0" * 30, "is no confusion matrix ("),
        ("x,a\na,0\n", "counts no video"),
        ("\0\x89PNG", "is no confusion matrix"),
    ],
)
def test_what_is_no_confusion_matrix(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    """One line that names the file; no picture."""
    (tmp_path / "c.csv").write_text(text)
    assert main(["picture", "confusion", str(tmp_path / "c.csv"), "--out", str(tmp_path / "c.png")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'c.csv'} " in error
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "c.png").exists()


def test_every_format_can_be_written(tmp_path: Path):
    """Foreign names are no formulas; the same picture is the same file."""
    counts = np.random.default_rng(0).integers(0, 9, (2, 2))
    for suffix, start in ((".png", b"\x89PNG"), (".jpg", b"\xff\xd8\xff"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        paths = [tmp_path / f"{number}{suffix}" for number in (1, 2)]
        for path in paths:
            save_figure(draw_confusion(counts, ["a$b", "<b>"]), path)
        assert paths[0].read_bytes().startswith(start)
        assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(list(tmp_path.iterdir())) == 8  # no temporary file is left


def test_ucf101s_number_of_classes_fits(tmp_path: Path):
    """As a picture of pixels and of shapes."""
    counts = np.random.default_rng(0).integers(0, 9, (101, 101))
    figure = draw_confusion(counts, [f"class {i}" for i in range(101)])
    for suffix in (".png", ".svg"):
        save_figure(figure, tmp_path / f"a{suffix}")
        assert (tmp_path / f"a{suffix}").stat().st_size > 10_000


def test_command_writes_images(tmp_path: Path, capsys: pytest.CaptureFixture):
    """Of runs and of a table; the file is printed."""
    (tmp_path / "c.csv").write_text(CSV)
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "pretext_accuracy": 0.5, "majority_share": 0.2}\n')
    for kind, source in (("confusion", tmp_path / "c.csv"), ("curves", tmp_path / "runs")):
        out = tmp_path / f"{kind}.png"
        assert main(["picture", kind, str(source), "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}\n"
        with Image.open(out) as image:
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["confusion", "no.csv", "--out", "c.gif"],
            "--out c.gif must be a file that ends in one of .png, .jpg, .svg, .pdf",
        ),
        (["confusion", "no.csv", "--out", "c.png"], "no.csv does not exist"),
        (["curves", "nowhere", "--out", "c.png"], "nowhere has no run in it"),
        (["retrieval", "no.parquet", ".", "--out", "c.png"], "gallery no.parquet does not exist"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture):
    """One line each."""
    assert main(["picture", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
