"""benchmarks/distillation/report.py on made-up runs: every figure against its closed form, and what is missing."""

import math
import time
from pathlib import Path

import pytest
import simplejson
from distillation import report
from plan import BEST as PURE  # the report has put its folder into the path
from plan import finetuned_runs, selection_runs
from rows import Measured, Row, better_pcl, compared_row, finetuned_rows, read_run
from timed import recording

TEACHER = {"retrieval_10clip_at_1": 0.8, "linear_probe_10clip": 0.9}
RETIRED = {"cpu_seconds_of_answers": 0.7}
RISING = [0.01 * epoch for epoch in range(1, 31)]  # its running mean after epoch e is 0.01 * (e - 1); it ends at 0.29
EARLY = [0.0] * 5 + [0.6] * 25  # its running mean is 0.2 after epoch 6, and 0.4 after epoch 7
T_OF_3 = 4.302653  # Student's t, two-sided 95 %, of three seeds


def write_run(out: Path, name: str, *, seconds: str = "60.0\n", curve: list[float] | None = None, **metrics: float):
    """A run's folder as kdvideo leaves it."""
    folder = out / "runs" / name
    (folder / "eval").mkdir(parents=True)
    (folder / "eval" / "evaluation.json").write_text(simplejson.dumps({"metrics": metrics}))
    (folder / "cpu_seconds.txt").write_text(seconds)
    lines = [{"epoch": number, "retrieval_at_1": value} for number, value in enumerate(curve or [], start=1)]
    (folder / "metrics.jsonl").write_text("".join(simplejson.dumps(line) + "\n" for line in lines))


def write_runs(out: Path) -> None:
    """All seeds of two settings of r3d_10, one of a third, finetuning of two seeds, and one run of the choice."""
    for seed in range(3):
        common = {"linear_probe_10clip": 0.5, "curve": RISING}
        write_run(out, f"pcl-residual.r3d_10.seed{seed}", retrieval_10clip_at_1=0.5, seconds="100\n20\n", **common)
        values = {"retrieval_10clip_at_1": 0.70 + 0.02 * seed, "linear_probe_10clip": 0.59, "curve": EARLY}
        write_run(out, f"{PURE}.r3d_10.seed{seed}", **values)
    write_run(out, "pcl-rgb.r3d_10.seed0", retrieval_10clip_at_1=0.3, linear_probe_10clip=0.4, curve=[0.0] * 30)
    for seed, accuracy in ((0, 0.8), (1, 0.9)):
        write_run(out, f"finetuned-scratch-labels25.r3d_10.seed{seed}", video_accuracy_10clip=0.4)
        name = f"finetuned-{PURE}-labels25.r3d_10.seed{seed}"
        write_run(out, name, video_accuracy_10clip=accuracy)
    write_run(out, "selection.queue", retrieval_10clip_at_1=0.61, linear_probe_10clip=0.62)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the report has written."""
    out = tmp_path_factory.mktemp("out")
    write_runs(out)
    (out / "teacher.json").write_text(simplejson.dumps(RETIRED | TEACHER))
    (out / "page.md").write_text("# Before\n\n<!-- runs -->\nold\n<!-- end of runs -->\n\nafter\n")
    report.write_report(out, out / "page")
    return out / "page"


def read(target: Path, name: str):
    return simplejson.loads((target / name).read_text())


def test_a_row_of_the_summary(target: Path):
    """Exactly these keys; means and intervals by Student's t."""
    rows = {(row["architecture"], row["setting"]): row for row in read(target, "summary.json")}
    assert list(rows) == [("r3d_10", name) for name in (PURE, "pcl-residual", "pcl-rgb")]  # finetuning has no retrieval
    half = T_OF_3 * 0.02 / math.sqrt(3)
    assert rows["r3d_10", PURE] == {
        "architecture": "r3d_10",
        "setting": PURE,
        "seeds": 3,
        "retrieval_at_1": pytest.approx({"mean": 0.72, "low": 0.72 - half, "high": 0.72 + half}, abs=1e-6),
        "linear_probe": pytest.approx({"mean": 0.59, "low": 0.59, "high": 0.59}),
        "minutes": {"mean": 1.0, "low": 1.0, "high": 1.0},
        "epochs_to_pcl_level": pytest.approx({"mean": 7, "low": 7, "high": 7}),
        "teacher_retrieval_at_1": 0.8,
    }
    assert rows["r3d_10", "pcl-residual"]["minutes"]["mean"] == 2.0  # of two starts
    alone = rows["r3d_10", "pcl-rgb"]
    assert alone["retrieval_at_1"] == {"mean": 0.3, "low": None, "high": None}
    assert alone["epochs_to_pcl_level"]["mean"] == pytest.approx(31)  # never, which counts as one more than there are


def test_comparison_with_the_better_pcl(target: Path):
    """Residual input is the better one here. Its own seeds need all epochs, which is the null."""
    comparison = read(target, "comparison.json")
    row = next(row for row in comparison["rows"] if row["setting"] == PURE)
    assert (row["pcl"], row["seeds"]) == ("pcl-residual", [0, 1, 2])
    half = T_OF_3 * 0.02 / math.sqrt(3)
    expected = {"mean": 0.22, "low": 0.22 - half, "high": 0.22 + half, "seeds": [0, 1, 2]}
    assert row["retrieval_at_1_minus_pcl"].pop("seeds") == expected.pop("seeds")
    assert row["retrieval_at_1_minus_pcl"] == pytest.approx(expected, abs=1e-6)
    assert row["linear_probe_minus_pcl"]["mean"] == pytest.approx(0.09)
    assert row["retrieval_at_1_of_teacher"]["mean"] == pytest.approx(0.9)
    assert row["minutes_minus_pcl"]["mean"] == pytest.approx(-1)
    assert row["epoch_ratio"]["mean"] == pytest.approx(7 / 30)
    assert row["null"]["mean"] == pytest.approx(1)
    met = [aim["met"] for aim in comparison["aims"] if aim["setting"] == PURE]
    assert met == [True, True, False, False, True, True]  # the probe: 0.66 of the teacher's, 0.09 above PCL


@pytest.mark.parametrize(
    ("change", "met"),
    [
        ({"epoch_ratio": {"mean": 0.28, "low": 0.2, "high": 0.36}}, False),  # it overlaps with the null
        ({"epoch_ratio": {"mean": 0.31, "low": 0.3, "high": 0.32}}, False),  # too late
        ({"epoch_ratio": {"mean": 0.28, "low": 0.2, "high": 0.34}}, True),
        ({"null": {"mean": 1.0, "low": None, "high": None}}, None),  # one seed of PCL has no null
    ],
)
def test_clear_of_the_null(target: Path, change: dict, met: bool | None):
    """The interval ends below the null's, and the mean is at most 0.3."""
    row = next(row for row in read(target, "comparison.json")["rows"] if row["setting"] == PURE)
    changed = {**row, "null": {"mean": 1.0, "low": 0.35, "high": 1.65}, **change}
    (aim,) = (aim for aim in report.aims_of(changed) if "null" in aim["aim"])
    assert aim["met"] is met


def test_finetuning_is_compared_seed_by_seed(target: Path):
    """By hand: 0.4 and 0.5 above scratch."""
    lines = read(target, "comparison.json")["finetuned"]
    line = next(line for line in lines if line["start"] == PURE)
    assert (line["labels"], line["seeds"]) == (0.25, [0, 1])
    assert line["accuracy_minus_scratch"]["mean"] == pytest.approx(0.45)
    assert (line["scratch"], line["accuracy_minus_scratch"]["seeds"]) == ("scratch", [0, 1])
    assert [line["accuracy"]["mean"] for line in lines if line["start"] == "scratch"] == [0.4]


def test_random_weights_have_the_input_of_what_they_are_compared_with():
    """Residual input alone is worth 0.2 here, and PCL on it 0.1 more. Runs that were there keep name and input."""
    starts = {run.name.split("-labels")[0]: (run.modality, run.weights_run) for run in finetuned_runs(0)}
    assert {"finetuned-scratch": ("rgb", ""), "finetuned-scratch-residual": ("residual", "")}.items() <= starts.items()
    accuracies = {"scratch": 0.4, "scratch-residual": 0.6, "pcl-residual": 0.7}
    rows = [
        Row("r3d_10", f"finetuned-{start}-labels25", starts[f"finetuned-{start}"][0], [0], {0: finetuned(accuracy)})
        for start, accuracy in accuracies.items()
    ]
    lines = {line["start"]: line for line in finetuned_rows(rows)}
    assert lines["pcl-residual"]["accuracy_minus_scratch"]["mean"] == pytest.approx(0.1)
    assert lines["pcl-residual"]["scratch"] == "scratch-residual"
    assert [lines[name]["accuracy_minus_scratch"]["mean"] for name in ("scratch", "scratch-residual")] == [None, None]


def finetuned(accuracy: float) -> Measured:
    return Measured({"video_accuracy_10clip": accuracy}, 1.0)


def pretrained(setting: str, retrieval: dict[int, float], minutes: float | None = 1.0) -> Row:
    """A row of three planned seeds with these retrieval@1."""
    found = {
        seed: Measured({"retrieval_10clip_at_1": value, "linear_probe_10clip": value}, minutes, RISING)
        for seed, value in retrieval.items()
    }
    return Row("r3d_10", setting, "rgb", [0, 1, 2], found)


def test_differences_name_the_seeds_that_both_have():
    """PCL has seeds 0 and 1, the setting 1 and 2; minutes are unknown."""
    own, pcl = pretrained(PURE, {1: 0.7, 2: 0.8}), pretrained("pcl-residual", {0: 0.4, 1: 0.5}, minutes=None)
    line = compared_row(own, [own, pcl], TEACHER)
    assert line["seeds"] == [1, 2]
    assert line["retrieval_at_1_minus_pcl"] == {"mean": pytest.approx(0.2), "low": None, "high": None, "seeds": [1]}
    assert line["minutes_minus_pcl"] == {"mean": None, "low": None, "high": None, "seeds": []}
    above = next(aim for aim in report.aims_of(line) if "above PCL" in aim["aim"])
    assert above["seeds"] == [1]


def test_seeds_that_both_have_tell_the_better_pcl():
    """Residual input is better by its lucky seed 2 alone, which RGB does not have yet."""
    residual, rgb = pretrained("pcl-residual", {0: 0.4, 2: 0.9}), pretrained("pcl-rgb", {0: 0.5, 1: 0.5})
    assert better_pcl([residual, rgb], residual) is rgb
    assert better_pcl([residual, pretrained("pcl-rgb", {})], residual) is residual
    assert better_pcl([], residual) is None


def test_minutes_without_a_record_are_unknown(tmp_path: Path):
    """Not zero, and no error: the page has a dash."""
    write_run(tmp_path, "selection.queue", retrieval_10clip_at_1=0.5, linear_probe_10clip=0.5)
    (tmp_path / "runs" / "selection.queue" / "cpu_seconds.txt").unlink()
    (tmp_path / "teacher.json").write_text(simplejson.dumps(TEACHER))
    (tmp_path / "page.md").write_text("<!-- runs -->\n<!-- end of runs -->\n")
    assert read_run(tmp_path / "runs" / "selection.queue").minutes is None
    assert "| queue | 0.500 | 0.500 | - |" in report.write_report(tmp_path, tmp_path / "page")
    assert read(tmp_path / "page", "comparison.json")["selection"]["queue"]["minutes"] is None


def test_a_start_records_its_seconds_while_it_runs(tmp_path: Path):
    """Before its end, so that a start that is killed has a line, too; lines of other starts stay."""
    path = tmp_path / "cpu_seconds.txt"
    path.write_text("12.5\n")
    with recording(path, every=0.01):
        written = path.read_text().split()
        end = time.monotonic() + 20
        while (later := path.read_text().split()) == written:  # which takes seconds of the processor, 0.1 at most
            assert time.monotonic() < end
    assert (len(written), len(later)) == (2, 2)
    assert written[0] == later[0] == "12.5"
    assert float(later[1]) > float(written[1])


def test_what_is_missing_is_said(target: Path):
    """In the page and by name; what stands around the markers stays."""
    missing = read(target, "comparison.json")["missing"]
    assert {"pcl-rgb.r3d_10.seed1", "pcl-residual.c3d.seed0", "pcl-residual-60.r3d_10.seed0"} <= set(missing)
    assert "pcl-residual.r3d_10.seed0" not in missing
    page = target.with_suffix(".md").read_text()
    assert page.startswith("# Before\n\n<!-- runs -->\n\n")
    assert page.endswith("<!-- end of runs -->\n\nafter\n")
    assert "old" not in page
    assert "**Partial**: 12 of " in page
    assert "pcl-rgb (8)" in page
    names = [run.name for run in selection_runs()]
    assert [name for name in missing if name.startswith("selection.")] == [n for n in names if n != "selection.queue"]
    assert "selection.standardised-mse-lr0.001 (1)" in page
    assert read(target, "comparison.json")["teacher"] == TEACHER
    assert "| setting | number of seeds |" in page
    assert f"| r3d_10 | {PURE} | 3 | 0.720 (0.670 to 0.770) | 0.590 (0.590 to 0.590) | 1.0" in page
    assert "| queue | 0.610 | 0.620 | 1.0 |" in page


def test_a_page_without_markers_is_refused():
    """It would lose its text."""
    with pytest.raises(ValueError, match="the page lacks the markers"):
        report.between_markers("# A page\n", "text")
