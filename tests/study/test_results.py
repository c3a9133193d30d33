"""From runs to a pair's result and the summary, with curves that are made by hand."""

import dataclasses
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
import simplejson
import yaml

from kdvideo.engine.run_folder import FACTS_NAME
from kdvideo.paths import zoo_root
from kdvideo.study.estimator import null_ratios, speed_ratio
from kdvideo.study.page import write_report
from kdvideo.study.plan import Study, StudyRun, plan_runs, select_seeds
from kdvideo.study.queue import run_folder
from kdvideo.study.read import read_study
from kdvideo.study.results import baselines_of, finished_pairs, finished_seeds, read_results, summarise

EPOCHS = 6


def curve_of(run: StudyRun) -> list[float]:
    """Alone 0.1 an epoch, taught 0.15; seeds are 0.01 apart."""
    step = 0.15 if run.setting else 0.1
    return [round(0.2 + step * epoch + 0.01 * run.seed, 4) for epoch in range(run.epochs)]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "study.yaml"
    setting = {"TEACHER_EPOCHS": EPOCHS, "CONFIG": {}, "FRACTIONS": [0.5], "FRACTION_PAIRS": [["c3d", "r3d_10"]]}
    values = {
        "BASE": str(zoo_root() / "configs" / "base" / "ucf101mini.yaml"),
        "CONFIG": {"CLIP": {"SIZE": 32}},
        "ARCHITECTURES": ["c3d", "r3d_10"],
        "SEEDS": [0, 1, 2],
        "EPOCHS": EPOCHS,
        "SETTINGS": {"paper": setting},
    }
    path.write_text(yaml.safe_dump(values))
    return read_study(path)


def write_runs(study: Study, output: Path, keep: Callable[[StudyRun], bool] = lambda run: True) -> None:
    for run in plan_runs(study):
        folder = run_folder(output, run.name)
        folder.mkdir(parents=True)
        lines = [
            {"epoch": epoch, "pretext_accuracy": value, "seconds": 1.5}
            for epoch, value in enumerate(curve_of(run), start=1)
        ]
        retrieval = 0.5 + 0.1 * bool(run.setting)
        final = {"pretext_accuracy": 0.5, "majority_share": 0.2, "retrieval_10clip_at_1": retrieval}
        lines.append({"epoch": run.epochs, "final": True, **final, "retrieval_10clip_at_5": 0.9})
        (folder / "metrics.jsonl").write_text("".join(simplejson.dumps(line) + "\n" for line in lines))
        if keep(run):
            (folder / FACTS_NAME).touch()


def test_summary_of_curves_made_by_hand(study: Study, tmp_path: Path):
    write_runs(study, tmp_path)
    summary = summarise(read_results(study, tmp_path), study)["paper"]
    alone = [[0.2 + 0.1 * epoch + 0.01 * seed for epoch in range(EPOCHS)] for seed in range(3)]
    taught = [[0.2 + 0.15 * epoch + 0.01 * seed for epoch in range(EPOCHS)] for seed in range(3)]
    assert summary["pairs"] == 4
    assert summary["seeds"] == 3
    # the level is 0.61: taught, the means of epochs 3 to 5 are 0.65 and more
    assert summary["ratio_mean"] == pytest.approx(statistics.fmean(speed_ratio(one, alone) for one in taught)) == 5 / 6
    assert summary["null_ratio_mean"] == pytest.approx(statistics.fmean(null_ratios(alone)))
    assert summary["final_delta_mean"] == pytest.approx(0.05 * 4)
    assert summary["final_delta_ci"] == pytest.approx([0.2, 0.2])
    assert summary["area_delta_mean"] == pytest.approx(0.05 * 2.5)
    assert summary["retrieval_delta_mean"] == pytest.approx(0.1)
    # the teacher of seeds 0 and 1 is 0.01 above, that of seed 2 is 0.02 below: the first epoch is not led, then led
    assert summary["lead_share_mean"] == pytest.approx(statistics.fmean([5 / 6, 5 / 6, 1]))
    # alone for twice the epochs: the last three are 1.1 on average, the students' 0.8
    assert summary["alone_equal_compute"]["final_delta_mean"] == pytest.approx(0.8 - 1.2)
    assert summary["never_reached"] == 0


def test_a_pair_without_all_its_seeds_is_left_out(study: Study, tmp_path: Path):
    write_runs(study, tmp_path, keep=lambda run: run.name != "paper.c3d-from-c3d.seed2" and run.epochs == EPOCHS)
    summary = summarise(read_results(study, tmp_path), study)["paper"]
    assert summary["pairs"] == 3
    assert "alone_equal_compute" not in summary


def test_linear_probes_count_once_every_run_has_one(study: Study, tmp_path: Path):
    """Taught 0.7 + 0.01 a seed, alone 0.6; with one missing there is no mean over pairs, but the others stay."""
    write_runs(study, tmp_path)
    for run in plan_runs(study):
        folder = run_folder(tmp_path, run.name) / "linear_probe"
        folder.mkdir()
        accuracy = 0.7 + 0.01 * run.seed if run.setting else 0.6
        metrics = {"linear_probe_10clip_top5": 1.0, "linear_probe_10clip": accuracy}
        (folder / "evaluation.json").write_text(simplejson.dumps({"metrics": metrics}))
    summary = summarise(read_results(study, tmp_path), study)["paper"]
    assert summary["linear_probe_delta_mean"] == pytest.approx(0.11)
    low, high = summary["linear_probe_delta_ci"]
    assert (low + high) / 2 == pytest.approx(0.11)
    assert high - low == pytest.approx(2 * 4.3027 * 0.01 / 3**0.5, rel=1e-4)  # Student's t, three seeds
    (run_folder(tmp_path, "paper.c3d-from-c3d.seed1") / "linear_probe" / "evaluation.json").unlink()
    results = read_results(study, tmp_path)
    assert "linear_probe_delta_mean" not in summarise(results, study)["paper"]
    pairs = finished_pairs(results, study, study.settings[0])
    assert [len(pair.probe_deltas) for pair in pairs].count(0) == 1


def test_report(study: Study, tmp_path: Path):
    write_runs(study, tmp_path / "out")
    write_report(study, tmp_path / "out", tmp_path / "report")
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names >= {"study.md", "summary.json", "runs.csv", "curves.csv", "pairs.csv", "baselines.png"}
    page = (tmp_path / "report" / "study.md").read_text()
    assert "| c3d | r3d_10 | 5, 5, 5 | 0.833 (0.833 to 0.833) | +0.200 (+0.200 to +0.200) |" in page
    assert "| c3d | r3d_10 | 0.5 |" in page
    assert all(f"({name})" in page for name in names if name.endswith(".png"))
    assert (tmp_path / "report" / "runs.csv").read_text().count("\n") == 1 + len(plan_runs(study))


def test_one_seed_has_no_null_and_no_intervals(study: Study, tmp_path: Path):
    one = dataclasses.replace(study, seeds=[1])
    write_runs(one, tmp_path / "out")
    write_report(one, tmp_path / "out", tmp_path / "report")
    assert simplejson.loads((tmp_path / "report" / "summary.json").read_text()) == {}
    page = (tmp_path / "report" / "study.md").read_text()
    assert "| c3d | r3d_10 | 5 | 0.833 | +0.200 | +0.125 | +0.100 | " in page


def test_videos_without_classes_cannot_be_reported(study: Study, tmp_path: Path):
    write_runs(study, tmp_path)
    path = run_folder(tmp_path, "c3d.e6.seed0") / "metrics.jsonl"
    path.write_text(path.read_text().replace("retrieval_10clip_at_1", "other"))
    with pytest.raises(ValueError, match=r"has no retrieval_10clip_at_1: a study needs videos with classes"):
        read_results(study, tmp_path)


def test_nothing_to_report(study: Study, tmp_path: Path):
    with pytest.raises(ValueError, match="has no finished baseline: continue with kdvideo study run"):
        write_report(study, tmp_path, tmp_path / "report")


def test_a_report_of_finished_seeds(study: Study, tmp_path: Path):
    """Seed 2 lacks a pair. The teachers of seed 1 have seed 2, and are no baselines of the report."""
    write_runs(study, tmp_path, keep=lambda run: run.name != "paper.c3d-from-c3d.seed2")
    assert finished_seeds(study, tmp_path) == [0, 1]
    chosen = select_seeds(study, [0, 1])
    results = read_results(chosen, tmp_path)
    summary = summarise(results, chosen)["paper"]
    assert (summary["pairs"], summary["seeds"]) == (4, 2)
    assert summary["lead_share_mean"] == pytest.approx(5 / 6)  # each teacher has the next seed, 0.01 above
    assert [one.run.seed for one in baselines_of(results, chosen, "c3d")] == [0, 1]
    (run_folder(tmp_path, f"c3d.e{EPOCHS}.seed1") / FACTS_NAME).unlink()  # a baseline, and the teacher of seed 0
    with pytest.raises(ValueError, match="no seed whose runs are all finished: continue with kdvideo study run"):
        finished_seeds(study, tmp_path)
