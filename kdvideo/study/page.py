"""A study's report: a page in markdown, its figures, and all numbers as JSON and CSV."""

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import simplejson

from kdvideo.files import write_text
from kdvideo.pictures.style import save_figure
from kdvideo.study.estimator import epoch_reached, final_level, interval
from kdvideo.study.figures import (
    draw_baselines,
    draw_matrix,
    draw_students_by_teacher,
    draw_students_of_same,
)
from kdvideo.study.plan import Setting, Study, plan_runs
from kdvideo.study.results import (
    Measured,
    PairResult,
    baselines_of,
    compare_pair,
    finished_pairs,
    read_results,
    summarise,
)
from kdvideo.tables import markdown_rows

__all__ = ["write_report"]

_FINAL = ("pretext_accuracy", "retrieval_10clip_at_1", "retrieval_10clip_at_5")


def write_report(study: Study, output: Path, target: Path) -> None:
    """Writes a study's report.

    It consists of `study.md`, `summary.json`, `runs.csv`, `curves.csv`, `pairs.csv` and the figures.

    Args:
        study: the study that was run.
        output: the study's folder. Unfinished runs are left out.
        target: the folder to write to.

    Raises:
        ValueError: no baseline is finished, or it is a sweep.
    """
    if study.points:
        raise ValueError(f"a sweep has no teachers to compare: `kdvideo runs {output}` has its table")
    results = read_results(study, output)
    if not any(baselines_of(results, study, one) for one in study.architectures):
        raise ValueError(f"{output} has no finished baseline: continue with kdvideo study run")
    target.mkdir(parents=True, exist_ok=True)
    pairs = {setting.name: finished_pairs(results, study, setting) for setting in study.settings}
    summary = summarise(results, study)
    write_text(target / "summary.json", simplejson.dumps(summary, indent=2) + "\n")
    write_text(target / "runs.csv", _csv(_run_rows(results)))
    write_text(target / "curves.csv", _csv(_curve_rows(results)))
    write_text(target / "pairs.csv", _csv(_pair_rows(study, pairs)))
    save_figure(draw_baselines(results, study), target / "baselines.png")
    for setting in study.settings:
        if pairs[setting.name]:
            save_figure(draw_students_of_same(results, study, setting), target / f"{setting.name}_same.png")
            save_figure(draw_students_by_teacher(results, study, setting), target / f"{setting.name}_by_teacher.png")
            title = f"{setting.name}: epochs needed, of {study.epochs}"
            save_figure(draw_matrix(pairs[setting.name], study, title=title), target / f"{setting.name}_matrix.png")
    write_text(target / "study.md", _page(study, results, pairs, summary))


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _run_rows(results: Mapping[str, Measured]) -> Iterable[dict[str, Any]]:
    for name, one in results.items():
        run = one.run
        yield {
            "run": name,
            "setting": run.setting,
            "student": run.student,
            "teacher": run.teacher,
            "fraction": run.fraction,
            "seed": run.seed,
            "epochs": run.epochs,
            "end_level": round(final_level(one.curve), 4),
            **{key: round(one.final[key], 4) for key in _FINAL},
            "linear_probe": "" if one.linear_probe is None else round(one.linear_probe, 4),
            "seconds": round(one.seconds, 1),
        }


def _curve_rows(results: Mapping[str, Measured]) -> Iterable[dict[str, Any]]:
    for name, one in results.items():
        for epoch, accuracy in enumerate(one.curve, start=1):
            yield {"run": name, "epoch": epoch, "pretext_accuracy": round(accuracy, 4)}


def _pair_rows(study: Study, pairs: Mapping[str, Sequence[PairResult]]) -> Iterable[dict[str, Any]]:
    for setting, results in pairs.items():
        for pair in results:
            for number, seed in enumerate(study.seeds):
                yield {
                    "setting": setting,
                    "student": pair.student,
                    "teacher": pair.teacher,
                    "seed": seed,
                    "reached": pair.reached[number] or "never",
                    "ratio": round(pair.ratios[number], 4),
                    "final_delta": round(pair.final_deltas[number], 4),
                    "area_delta": round(pair.area_deltas[number], 4),
                    "retrieval_delta": round(pair.retrieval_deltas[number], 4),
                    "lead_share": round(pair.lead_shares[number], 4),
                    "linear_probe_delta": round(pair.probe_deltas[number], 4) if pair.probe_deltas else "",
                }


def _page(
    study: Study,
    results: Mapping[str, Measured],
    pairs: Mapping[str, Sequence[PairResult]],
    summary: Mapping[str, Any],
) -> str:
    done, planned = len(results), len(plan_runs(study))
    minutes = sum(one.seconds for one in results.values()) / 60
    parts = [
        f"{done} of {planned} runs are finished; their epochs took {minutes:.0f} minutes. A baseline or student has "
        f"{study.epochs} epochs, its seed is one of {', '.join(map(str, study.seeds))}.",
        "## Alone",
        _table(_baseline_rows(results, study)),
        "![accuracy of each architecture alone](baselines.png)",
    ]
    for setting in study.settings:
        if not pairs[setting.name]:
            continue
        name = setting.name
        in_numbers = [{"": key, "value": _show(value)} for key, value in _flat(summary.get(name, {}))]
        parts += [
            f"## {name}",
            *([_table(in_numbers)] if in_numbers else []),
            _table(_pair_table(pairs[name])),
            f"![students of their own architecture]({name}_same.png)",
            f"![students by teacher]({name}_by_teacher.png)",
            f"![teacher-student matrix]({name}_matrix.png)",
        ]
        if fractions := list(_fraction_rows(results, study, setting)):
            parts += [f"### {name}, parts of the training list", _table(fractions)]
    return "\n\n".join(parts) + "\n"


def _baseline_rows(results: Mapping[str, Measured], study: Study) -> Iterable[dict[str, str]]:
    for architecture in study.architectures:
        runs = baselines_of(results, study, architecture)
        if not runs:
            continue
        level = statistics.fmean(final_level(one.curve) for one in runs)
        probes = [one.linear_probe for one in runs if one.linear_probe is not None]
        yield {
            "": architecture,
            "end level": _with_interval([final_level(one.curve) for one in runs]),
            "reached at": _epochs(epoch_reached(one.curve, level) for one in runs),
            "retrieval@1": _with_interval([one.final[_FINAL[1]] for one in runs]),
            "linear probe": _with_interval(probes) if len(probes) == len(runs) else "",
        }


def _pair_table(pairs: Sequence[PairResult]) -> Iterable[dict[str, str]]:
    for pair in pairs:
        yield {
            "student": pair.student,
            "teacher": pair.teacher,
            "reached at": _epochs(pair.reached),
            "ratio": _with_interval(pair.ratios),
            "end level": _with_interval(pair.final_deltas, sign="+"),
            "area": _with_interval(pair.area_deltas, sign="+"),
            "retrieval@1": _with_interval(pair.retrieval_deltas, sign="+"),
            "linear probe": _with_interval(pair.probe_deltas, sign="+") if pair.probe_deltas else "",
            "leads teacher": f"{statistics.fmean(pair.lead_shares):.2f}",
        }


def _fraction_rows(results: Mapping[str, Measured], study: Study, setting: Setting) -> Iterable[dict[str, str]]:
    for student, teacher in setting.fraction_pairs:
        for fraction in (1.0, *setting.fractions):
            pair = compare_pair(results, study, setting, (student, teacher), fraction=fraction)
            if pair is None:
                continue
            alone = [final_level(one.curve) for one in baselines_of(results, study, student, fraction)]
            yield {
                "student": student,
                "teacher": teacher,
                "part": f"{fraction:g}",
                "end level alone": _with_interval(alone),
                "with teacher": _with_interval(pair.final_deltas, sign="+"),
                "ratio": _with_interval(pair.ratios),
                "retrieval@1": _with_interval(pair.retrieval_deltas, sign="+"),
            }


def _table(rows: Iterable[Mapping[str, str]]) -> str:
    rows = list(rows)
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return markdown_rows(lines).removesuffix("\n")


def _with_interval(values: Sequence[float], *, sign: str = "") -> str:
    mean = f"{statistics.fmean(values):{sign}.3f}"
    if len(values) < 2:
        return mean
    low, high = interval(values)
    return f"{mean} ({low:{sign}.3f} to {high:{sign}.3f})"


def _epochs(epochs: Iterable[int | None]) -> str:
    return ", ".join(str(epoch or "never") for epoch in epochs)


def _flat(values: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        yield from (
            ((f"{key}.{inner}", one) for inner, one in value.items()) if isinstance(value, dict) else [(key, value)]
        )


def _show(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(f"{end:.3f}" for end in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
