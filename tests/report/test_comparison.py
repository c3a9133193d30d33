"""Runs side by side: which columns there are, in which order, and how they are printed."""

import csv
import sys
from pathlib import Path

import pytest
import simplejson
import yaml
from filelock import FileLock

from kdvideo.cli import main
from kdvideo.cli.runs import format_runs
from kdvideo.engine.run_folder import RunFolder
from kdvideo.report import render_report
from kdvideo.report.comparison import compare_runs
from kdvideo.report.runs import RunRecord, find_runs

FINAL = {"final": True, "majority_share": 0.2, "pretext_accuracy": 0.5}


def write_run(folder: Path, config: dict, *lines: dict, finished: bool = False) -> None:
    """A run's folder."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "OUTPUT_DIR": str(folder)}))
    (folder / "environment.json").write_text("{}")
    if lines:
        (folder / "metrics.jsonl").write_text("\n".join(map(simplejson.dumps, lines)))
    if finished:
        (folder / "facts.json").write_text("{}")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two finished runs, one that was interrupted, and one in its first epoch."""
    root = tmp_path / "sweep"
    for name, rate, accuracy in (("a", 0.1, 0.5), ("b", 0.02, 0.75)):
        config = {"SOLVER": {"BASE_LR": rate}, "MODEL": {"WIDTH": 8}}
        final = {"epoch": 2, **FINAL, "pretext_accuracy": accuracy}
        write_run(root / "runs" / name, config, {"epoch": 2, "loss": 1.5, "lr": rate}, final, finished=True)
    half = {"epoch": 1, "loss": 2.5, "pretext_accuracy": 0.25}
    write_run(root / "runs" / "deep" / "c", {"MODEL": {"WIDTH": 8}, "TEACHER": {"WEIGHTS": "x/y.pt"}}, half)
    write_run(root / "d", {"MODEL": {"WIDTH": 8}})
    return root


def test_columns_are_what_differs_beside_metrics(sweep: Path):
    """A setting that all share is none, nor is the folder; metrics of final lines lead; defaults count as values."""
    table = compare_runs(find_runs([sweep]))
    assert table.settings == ("TEACHER.WEIGHTS", "SOLVER.BASE_LR")
    assert table.metrics[:2] == ("pretext_accuracy", "majority_share")
    rows = {row["run"]: row for row in table.rows}
    assert rows["sweep/runs/b"]["pretext_accuracy"] == 0.75
    assert rows["sweep/runs/deep/c"]["SOLVER.BASE_LR"] == 0.01  # the default, which its config does not have
    assert (rows["sweep/runs/deep/c"]["state"], rows["sweep/runs/a"]["state"]) == ("interrupted", "finished")
    assert (rows["sweep/d"]["state"], rows["sweep/d"]["epoch"]) == ("interrupted", 0)
    assert "pretext_accuracy" not in rows["sweep/d"]


@pytest.mark.skipif(sys.platform == "win32", reason="looks at locks as Unix has them")
def test_a_locked_run_is_running(sweep: Path):
    """And looking does not take the lock from it."""
    folder = RunFolder(sweep / "d")
    with FileLock(folder.lock):
        assert (folder.state, folder.state) == ("running", "running")
    assert folder.state == "interrupted"


def test_command(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """The best first, those without a value last; the file has every column in full."""
    file = tmp_path / "runs.csv"
    assert main(["runs", str(sweep), "--sort", "pretext_accuracy", "--csv", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines[-4:]] == ["runs/b", "runs/a", "runs/deep/c", "d"]
    with file.open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["SOLVER.BASE_LR"] == "0.02"
    assert (rows[2]["loss"], rows[3]["loss"]) == ("2.5", "")
    assert main(["runs", str(sweep), "--sort", "BASE_LR"]) == 0  # from the lowest
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-4:]][-1] == "runs/a"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sort", "WIDTH"], "--sort WIDTH: no run has it, or all have the same: columns are run, state, epoch"),
        (["--sort", "pretext"], "did you mean pretext_accuracy?"),
    ],
)
def test_unknown_columns(arguments: list[str], message: str, sweep: Path, capsys: pytest.CaptureFixture):
    """One line with what there is."""
    assert main(["runs", str(sweep), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture):
    """One line with what is expected."""
    assert main(["runs", str(tmp_path)]) == 2
    assert f"error: {tmp_path} has no run in it: give a run's OUTPUT_DIR" in capsys.readouterr().err


def test_no_run_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture):
    """One line, after a warning for each."""
    write_run(tmp_path / "a", {})
    (tmp_path / "a" / "metrics.jsonl").write_bytes(b"\xff")
    assert main(["runs", str(tmp_path)]) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(f"no run below {tmp_path} could be read: the warnings say why")
    )


def test_many_settings_are_all_shown_in_100_columns():
    """In blocks; metrics that do not fit are named. Escape sequences of folders' names are visible."""
    settings = [{f"SECTION{i}": {"SOME_LONG_KEY": "v" * i + number} for i in range(20)} for number in "ab"]
    metrics = {f"some_long_metric_at_{place}": 0.5 for place in range(40)}
    runs = [RunRecord(f"r/\x1b[2J{'x' * 60}{i}", config, [metrics], None) for i, config in enumerate(settings)]
    lines = format_runs(compare_runs(runs))
    assert max(map(len, lines)) <= 100
    text = "".join(lines)
    assert all(f"SECTION{place}." in text for place in range(20))
    assert "more columns with --csv FILE.csv: some_long_metric_at_" in text
    assert "\x1b" not in text


def test_the_report_has_the_same_columns(sweep: Path):
    """In a table of its own, also for runs without an epoch, which have no curve."""
    runs = find_runs([sweep])
    text = render_report([], runs)
    table = text[text.index('<table id="run-table">') : text.index("</table>", text.index('<table id="run-table">'))]
    assert all(f'title="{name}"' in table for name in compare_runs(runs).columns)
    assert '<th scope="row">sweep/d</th><td>interrupted</td>' in table


def test_what_was_not_recorded_is_not_shown(tmp_path: Path):
    """An empty config says nothing, not the defaults; beside the chosen epoch's result stands that epoch's line."""
    write_run(tmp_path / "a", {"SOLVER": {"BASE_LR": 0.1}}, {"epoch": 1, "loss": 2.0})
    write_run(tmp_path / "b", {"SOLVER": {"BASE_LR": 0.2}}, {"epoch": 1, "loss": 2.0})
    final = {"epoch": 12, "final": True, "top1": 0.5}
    write_run(tmp_path / "c", {}, {"epoch": 12, "loss": 0.7, "lr": 3e-4}, {"epoch": 30, "loss": 0.1, "lr": 1e-5}, final)
    (tmp_path / "c" / "config.yaml").write_text("")
    runs = find_runs([tmp_path])
    table = compare_runs(runs)
    row = table.rows[2]
    assert table.settings == ("SOLVER.BASE_LR",)
    assert "SOLVER.BASE_LR" not in row
    assert (row["epoch"], row["loss"], row["top1"]) == (12, 0.7, 0.5)
    assert '<td class="number">0.0003</td>' in render_report([], runs)
