"""The report page as text; what a browser makes of it is in tests/slow/test_report_page.py."""

import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import simplejson

from kdvideo.cli import main
from kdvideo.paths import zoo_root
from kdvideo.registry import BACKBONES
from kdvideo.report import render_report
from kdvideo.report.matrix import ALONE, Student, build_matrices, students_of
from kdvideo.report.models import metric_names, model_rows
from kdvideo.report.runs import RunRecord, find_runs
from kdvideo.zoo.entry import Facts
from kdvideo.zoo.manage import EntryState, entry_states
from kdvideo.zoo.sources import find_entry

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
HOSTILE = "</script><img src=x onerror=alert(1)>"
CONFIG = {
    "MODEL": {"BACKBONE": "c3d", "WIDTH": 8},
    "SOLVER": {"EPOCHS": 15},
    "TEACHER": {"LOSSES": ["logit_distillation"]},
}


FACTS = Facts(
    {"pretext_accuracy": 0.5},
    protocol="",
    teacher={"name": f"kdvideo://{SHIPPED}", "sha256": ""},
    dataset="d",
    config="x",
    source="",
    licence="",
)


def write_run(folder: Path, *, lines: list[str], facts: Facts | None = None) -> None:
    """A run's folder."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("MODEL:\n  BACKBONE: c3d\n")
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    if facts is not None:
        (folder / "facts.json").write_text(facts.to_json())


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture):
    """Writes one file with every entry's name and load line, from the packaged zoo alone."""
    out = tmp_path / "report.html"
    assert main(["report", "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}  ")
    text = out.read_text("utf-8")
    for state in entry_states():
        assert f"create_model(&#34;{state.entry.name}&#34;, pretrained=True)" in text
    assert not re.search(r"<(link|script|img|iframe)[^>]* (src|href)=", text)
    assert "No runs were given" in text
    assert "No model and no finished run here has a teacher." not in text  # those that ship are shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "report.txt"], "--out report.txt must be a file that ends in .html"),
        (["--out", "r.html", "--zoo", "nowhere"], "nowhere is no zoo: it has no folder entries/"),
        (["--out", "r.html", "--runs", "nowhere"], "--runs nowhere has no run in it"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture):
    """One line each."""
    assert main(["report", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_foreign_text_is_escaped():
    """Texts of entries and names of runs are text, in the page and in the script's data; odd addresses are no links."""
    entry, zoo = find_entry(SHIPPED)
    texts = dict.fromkeys(("licence", "source", "protocol", "dataset", "manual"), HOSTILE)
    metrics = {HOSTILE: 0.5, "nan": float("nan")}
    teacher = {"name": HOSTILE, "sha256": ""}
    entry = replace(entry, **texts, urls=["javascript:alert(1)"], metrics=metrics, teacher=teacher)
    run = RunRecord(HOSTILE, {}, [{"epoch": 1, HOSTILE: 1.0}], None)
    text = render_report([EntryState(entry, zoo, "by hand")], [run])
    assert "<img" not in text
    assert "&lt;img src=x" in text
    assert "javascript:alert" not in text
    assert text.count("</script>") == 3  # the data's, plotly's and the page's own
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    loaded = simplejson.loads(data)
    assert loaded["models"][0]["licence"] == HOSTILE
    assert loaded["models"][0]["metrics"] == {HOSTILE: 0.5}


def test_load_lines_work(tmp_path: Path):
    """Of the packaged zoo, and of one that names are not looked up in."""
    elsewhere = tmp_path / "it's mine"
    shutil.copytree(zoo_root() / "entries", elsewhere / "entries")
    shutil.copytree(zoo_root() / "weights", elsewhere / "weights")
    for zoo in (None, elsewhere):
        (row,) = [row for row in model_rows(entry_states(zoo)) if row["name"] == SHIPPED]
        assert ("zoo=" in row["load"]) == ("--zoo" in row["fetch"]) == (zoo is not None)
        names: dict = {}
        exec(row["load"], names)
        assert sum(parameter.numel() for parameter in names["model"].parameters()) / 1e6 >= row["params"]


def test_models_of_own_backbones_say_what_to_import(monkeypatch: pytest.MonkeyPatch):
    """The module where this process knows it, else that there is one; a name of an entry is never put into code."""
    entry, zoo = find_entry(SHIPPED)
    own = replace(entry, model=replace(entry.model, backbone="own_net'; import os"))
    (row,) = model_rows([EntryState(own, zoo, "shipped")])
    assert row["load"].startswith("import kdvideo; ")
    assert "registers the backbone own_net'; import os, which is its author's own" in row["unknown"]
    assert "commands take it by --import FILE.py" in render_report([EntryState(own, zoo, "shipped")], [])

    def builder() -> None: ...

    builder.__module__ = "my_net"
    monkeypatch.setattr(BACKBONES, "_obj_map", {**dict(BACKBONES), own.model.backbone: builder})
    (row,) = model_rows([EntryState(own, zoo, "shipped")])
    assert row["load"].startswith("import my_net; import kdvideo; ")
    assert row["unknown"] == ""


def test_runs_are_read_as_far_as_they_have_come(tmp_path: Path):
    """A line cut short, one with a NaN and a run without facts; names tell where a run lies."""
    write_run(
        tmp_path / "all" / "a", lines=['{"epoch": 1, "loss": 2.0}', '{"epoch": 2, "loss": NaN}', '{"epoch": 3, "lo']
    )
    write_run(tmp_path / "all" / "b", lines=['{"epoch": 1, "x": 1}', '{"epoch": 1, "final": true}'], facts=FACTS)
    first, second = find_runs([tmp_path / "all"])
    assert (first.name, second.name) == ("all/a", "all/b")
    assert first.epochs == [{"epoch": 1, "loss": 2.0}]
    assert first.facts is None
    assert second.epochs == [{"epoch": 1, "x": 1}]
    assert second.facts == FACTS
    (alone,) = find_runs([tmp_path / "all" / "a"])
    assert alone.name == "a"


def test_an_unreadable_run_hides_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """It is named."""
    write_run(tmp_path / "all" / "good", lines=['{"epoch": 1}'])
    write_run(tmp_path / "all" / "bad", lines=[])
    (tmp_path / "all" / "bad" / "metrics.jsonl").write_bytes(b"\xff\xfe")
    with caplog.at_level(logging.WARNING, logger="kdvideo"):
        assert [run.name for run in find_runs([tmp_path / "all"])] == ["all/good"]
    assert "left out: " in caplog.text


def test_metrics_that_own_models_share_come_first():
    """Beside one own model the others' most frequent one leads; beside several, as in the packaged zoo, theirs does."""
    rows = model_rows(entry_states())
    assert metric_names(rows)[0] == "pretext_accuracy"
    beside_one = [row for row in rows if row["name"] == SHIPPED or "ucf101mini" not in row["name"]]
    assert metric_names(beside_one)[0] == "k400_top1"
    assert "majority_share" not in metric_names(rows)


def student(backbone: str, teacher: str, accuracy: float, *, losses: str = "logit", setting: str = "s") -> Student:
    """Named after its parts."""
    return Student(f"{backbone}<{teacher}", backbone, teacher, losses, setting, accuracy, None)


def test_matrix():
    """Means and gains within a setting; losses apart; an unknown teacher gets a row of its own; the rest is empty."""
    (matrix,) = build_matrices(
        [
            student("c3d", "r3d_10", 0.50),
            student("c3d", "r3d_10", 0.60),
            student("c3d", "r3d_10", 0.40, losses="similarity"),
            student("c3d", ALONE, 0.45, losses=""),
            student("r3d_10", "mc3_18", 0.30),
            student("c3d", ALONE, 0.99, losses="", setting="another, without teachers"),
        ]
    )
    assert matrix.students == ("c3d", "r3d_10", "r2plus1d_10")
    assert matrix.teachers == ("c3d", "r3d_10", "r2plus1d_10", "mc3_18", ALONE)
    logit, similarity = matrix.cells["r3d_10", "c3d"]
    assert (logit.losses, len(logit.names)) == ("logit", 2)
    assert logit.accuracy == pytest.approx(0.55)
    assert logit.gain == pytest.approx(0.10)
    assert similarity.gain == pytest.approx(-0.05)
    assert matrix.cells["mc3_18", "r3d_10"][0].gain is None
    assert matrix.cells[ALONE, "c3d"][0].gain is None
    assert set(matrix.cells) == {("r3d_10", "c3d"), (ALONE, "c3d"), ("mc3_18", "r3d_10")}


def test_students_of_entries_and_runs():
    """A run that is an entry counts once; the teacher's architecture is that of its entry, or told by its name."""
    entry, _ = find_entry(SHIPPED)
    runs = [
        RunRecord("published", CONFIG, [], replace(FACTS, config=entry.config)),
        RunRecord("by entry", CONFIG, [], FACTS),
        RunRecord("by name", CONFIG, [], replace(FACTS, teacher={"sha256": "", "name": "r2plus1d_10_w8.mine_x-s1"})),
        RunRecord("by file", CONFIG, [], replace(FACTS, teacher={"sha256": "", "name": "/data/weights.pt"})),
        RunRecord("not finished", CONFIG, [], None),
        RunRecord("supervised", CONFIG, [], replace(FACTS, metrics={"clip_accuracy": 0.5})),
    ]
    students = students_of([entry], runs)
    assert [(item.name, item.teacher, item.losses) for item in students] == [
        (SHIPPED, ALONE, ""),
        ("by entry", "r3d_10", "logit"),
        ("by name", "r2plus1d_10", "logit"),
        ("by file", "weights.pt", "logit"),
    ]
    assert "144 training videos" in students[0].setting
    assert len({item.setting for item in students[1:]}) == 1


def test_templates_are_packaged():
    """The wheel's list of files has them."""
    assert '"kdvideo.report": ["templates/*"]' in (zoo_root().parent / "setup.py").read_text()
