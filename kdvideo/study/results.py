"""Reads what a study's runs have measured, and compares each pair of student and teacher."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdvideo.engine.run_folder import RunFolder
from kdvideo.study.estimator import (
    curve_area,
    epoch_reached,
    final_level,
    interval,
    lead_share,
    null_ratios,
    speed_ratio,
)
from kdvideo.study.plan import Setting, Study, StudyRun, plan_runs, select_seeds
from kdvideo.study.probe import read_probe
from kdvideo.study.queue import is_finished, run_folder

__all__ = [
    "Measured",
    "PairResult",
    "baselines_of",
    "compare_pair",
    "finished_pairs",
    "finished_seeds",
    "read_results",
    "summarise",
    "summarise_setting",
    "taught_by",
]

_RETRIEVAL = "retrieval_10clip_at_1"


@dataclass(frozen=True)
class Measured:
    """A finished run.

    Attributes:
        run: the planned run.
        curve: pretext accuracy after each epoch, in [0, 1].
        final: the last line of `metrics.jsonl`.
        seconds: duration of its epochs, evaluation included.
        linear_probe: accuracy of a linear probe, in [0, 1]. None if `kdvideo study probe` has not fitted it.
    """

    run: StudyRun
    curve: tuple[float, ...]
    final: Mapping[str, Any]
    seconds: float
    linear_probe: float | None


@dataclass(frozen=True)
class PairResult:
    """One student of one teacher in one setting, with one value per seed.

    Attributes:
        student: the student's architecture.
        teacher: the teacher's architecture.
        ratios: the student's `speed_ratio`.
        reached: the epoch at which the baselines' level was reached, or None.
        final_deltas: the end level minus that of the baseline with the same seed.
        area_deltas: the same difference of `curve_area`.
        retrieval_deltas: the same difference of retrieval@1 from 10 clips.
        lead_shares: the share of epochs in which the student leads its teacher.
        equal_compute_deltas: the end level minus that of the student alone after the epochs of teacher and student
            together. Empty without such runs.
        probe_deltas: the difference as in `retrieval_deltas` for the linear probe. Empty unless all runs have one.
    """

    student: str
    teacher: str
    ratios: tuple[float, ...]
    reached: tuple[int | None, ...]
    final_deltas: tuple[float, ...]
    area_deltas: tuple[float, ...]
    retrieval_deltas: tuple[float, ...]
    lead_shares: tuple[float, ...]
    equal_compute_deltas: tuple[float, ...]
    probe_deltas: tuple[float, ...]


def finished_seeds(study: Study, output: Path) -> list[int]:
    """Returns the seeds whose runs are all finished, including their teachers.

    Raises:
        ValueError: there is none.
    """
    found = [
        seed
        for seed in study.seeds
        if all(is_finished(output, run.name) for run in plan_runs(select_seeds(study, [seed])))
    ]
    if not found:
        raise ValueError(f"{output} has no seed whose runs are all finished: continue with kdvideo study run")
    return found


def read_results(study: Study, output: Path) -> dict[str, Measured]:
    """Reads all finished runs, by name."""
    return {
        run.name: _read(run, RunFolder(run_folder(output, run.name)), read_probe(output, run.name))
        for run in plan_runs(study)
        if is_finished(output, run.name)
    }


def _read(run: StudyRun, folder: RunFolder, linear_probe: float | None) -> Measured:
    epochs, final = folder.epochs(), folder.final()
    if final is None or _RETRIEVAL not in final:
        raise ValueError(f"{folder.path} has no {_RETRIEVAL}: a study needs videos with classes")
    return Measured(
        run,
        curve=tuple(line["pretext_accuracy"] for line in epochs),
        final=final,
        seconds=math.fsum(line["seconds"] for line in epochs),
        linear_probe=linear_probe,
    )


def baselines_of(
    results: Mapping[str, Measured], study: Study, architecture: str, fraction: float = 1.0
) -> list[Measured]:
    """Returns a student's baselines, one per seed. They have as many epochs as the student's runs."""
    return _alone(results, study, architecture, epochs=study.epochs, fraction=fraction)


def _alone(
    results: Mapping[str, Measured], study: Study, architecture: str, *, epochs: int, fraction: float = 1.0
) -> list[Measured]:
    found = [
        one
        for one in results.values()
        if not one.run.setting
        and one.run.seed in study.seeds  # teachers may have others
        and (one.run.student, one.run.epochs, one.run.fraction) == (architecture, epochs, fraction)
    ]
    return sorted(found, key=lambda one: one.run.seed)


def taught_by(
    results: Mapping[str, Measured], setting: str, pair: tuple[str, str], fraction: float = 1.0
) -> list[Measured]:
    """Returns the students of a pair, one per seed."""
    found = [
        one
        for one in results.values()
        if (one.run.setting, one.run.student, one.run.teacher, one.run.fraction) == (setting, *pair, fraction)
    ]
    return sorted(found, key=lambda one: one.run.seed)


def compare_pair(
    results: Mapping[str, Measured], study: Study, setting: Setting, pair: tuple[str, str], *, fraction: float = 1.0
) -> PairResult | None:
    """Compares a pair over all seeds. None means that a student or baseline is unfinished."""
    students = taught_by(results, setting.name, pair, fraction)
    baselines = baselines_of(results, study, pair[0], fraction)
    if not len(students) == len(baselines) == len(study.seeds):
        return None
    curves = [one.curve for one in baselines]
    level = statistics.fmean(map(final_level, curves))
    together = setting.teacher_epochs + study.epochs
    longer = _alone(results, study, pair[0], epochs=together) if fraction == 1.0 else []
    controls = longer if len(longer) == len(students) else []
    probed = all(one.linear_probe is not None for one in (*students, *baselines))
    return PairResult(
        *pair,
        ratios=tuple(speed_ratio(one.curve, curves) for one in students),
        reached=tuple(epoch_reached(one.curve, level) for one in students),
        final_deltas=_deltas(students, baselines, lambda one: final_level(one.curve)),
        area_deltas=_deltas(students, baselines, lambda one: curve_area(one.curve)),
        retrieval_deltas=_deltas(students, baselines, lambda one: one.final[_RETRIEVAL]),
        lead_shares=tuple(lead_share(one.curve, results[one.run.teacher_run].curve) for one in students),
        equal_compute_deltas=_deltas(students, controls, lambda one: final_level(one.curve)) if controls else (),
        probe_deltas=_deltas(students, baselines, lambda one: one.linear_probe) if probed else (),
    )


def _deltas(ones: Sequence[Measured], others: Sequence[Measured], value: Any) -> tuple[float, ...]:
    return tuple(value(one) - value(other) for one, other in zip(ones, others, strict=True))


def finished_pairs(results: Mapping[str, Measured], study: Study, setting: Setting) -> list[PairResult]:
    """Returns the results of a setting's complete pairs."""
    compared = (compare_pair(results, study, setting, pair) for pair in setting.pairs)
    return [one for one in compared if one is not None]


def summarise_setting(pairs: Sequence[PairResult], baselines: Sequence[Sequence[Sequence[float]]]) -> dict[str, Any]:
    """Summarises a setting in a few numbers.

    Intervals are 95 % over seeds, because pairs with the same seed share baselines and teachers.

    Args:
        pairs: pairs that all have the same seeds.
        baselines: for each architecture, the curves of the runs alone, one per seed.
    """
    nulls = [null_ratios(curves) for curves in baselines]
    summary: dict[str, Any] = {
        "pairs": len(pairs),
        "seeds": len(pairs[0].ratios),
        "ratio_max": max(statistics.fmean(pair.ratios) for pair in pairs),
        "never_reached": sum(reached is None for pair in pairs for reached in pair.reached),
    }
    rows: list[tuple[str, Iterable[Sequence[float]]]] = [
        ("ratio", [pair.ratios for pair in pairs]),
        ("null_ratio", nulls),
        ("final_delta", [pair.final_deltas for pair in pairs]),
        ("area_delta", [pair.area_deltas for pair in pairs]),
        ("retrieval_delta", [pair.retrieval_deltas for pair in pairs]),
        ("lead_share", [pair.lead_shares for pair in pairs]),
    ]
    for name, values in rows:
        summary[f"{name}_mean"], summary[f"{name}_ci"] = _over_seeds(values)
    if all(probes := [pair.probe_deltas for pair in pairs]):
        summary["linear_probe_delta_mean"], summary["linear_probe_delta_ci"] = _over_seeds(probes)
    controlled = [pair.equal_compute_deltas for pair in pairs]
    if all(controlled):
        mean, ends = _over_seeds(controlled)
        summary["alone_equal_compute"] = {"final_delta_mean": mean, "final_delta_ci": ends}
    return summary


def _over_seeds(rows: Iterable[Sequence[float]]) -> tuple[float, list[float]]:
    """Returns the mean of all rows and its interval over seeds. A row has one value per seed."""
    by_seed = [statistics.fmean(values) for values in zip(*rows, strict=True)]
    return statistics.fmean(by_seed), list(interval(by_seed))


def summarise(results: Mapping[str, Measured], study: Study) -> dict[str, Any]:
    """Summarises each setting that has a complete pair.

    This is the content of `summary.json`. It is empty for a single seed, which has no null distribution.
    """
    summary: dict[str, Any] = {}
    if len(study.seeds) < 2:
        return summary
    for setting in study.settings:
        if pairs := finished_pairs(results, study, setting):
            students = list(dict.fromkeys(pair.student for pair in pairs))
            curves = [[one.curve for one in baselines_of(results, study, student)] for student in students]
            summary[setting.name] = summarise_setting(pairs, curves)
    return summary
