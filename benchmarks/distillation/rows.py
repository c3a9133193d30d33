"""Reads the comparison's finished runs, and compares each setting with PCL and with the teacher."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plan import GROUPS, PURE, Run, planned_runs, scratch_of, selection_runs

from kdvideo.engine.run_folder import RunFolder
from kdvideo.study.estimator import interval, null_ratios, speed_ratio

__all__ = [
    "Measured",
    "Row",
    "aims_of",
    "compared_row",
    "finetuned_rows",
    "is_pure",
    "missing_runs",
    "read_rows",
    "read_run",
    "read_selection",
    "spread",
    "summary_row",
]

RETRIEVAL, PROBE = "retrieval_10clip_at_1", "linear_probe_10clip"  # as evaluations name them
FINETUNED = "video_accuracy_10clip"


@dataclass(frozen=True)
class Measured:
    """A finished run.

    Attributes:
        metrics: of the final evaluation, by name.
        minutes: of one core, for training. None if they are not known.
        curve: retrieval@1 after each epoch, in [0, 1]. Empty for finetuning.
    """

    metrics: Mapping[str, float]
    minutes: float | None
    curve: Sequence[float] = ()


@dataclass(frozen=True)
class Row:
    """An architecture in one setting.

    Attributes:
        architecture: the student's.
        setting: what its runs' names begin with.
        modality: "rgb" or "residual".
        planned: the seeds that are planned.
        found: finished runs by seed.
    """

    architecture: str
    setting: str
    modality: str
    planned: Sequence[int]
    found: Mapping[int, Measured]

    @property
    def part(self) -> str:
        """The end of the setting's name that tells a part of the videos, "-part50", or ""."""
        _, dash, part = self.setting.rpartition("-part")
        return dash + part if dash else ""

    def values(self, metric: str) -> dict[int, float]:
        """Returns a metric by seed."""
        return {seed: one.metrics[metric] for seed, one in self.found.items()}

    def minutes(self) -> dict[int, float]:
        """Returns the minutes of training by seed, where they are known."""
        return {seed: one.minutes for seed, one in self.found.items() if one.minutes is not None}


def read_run(folder: Path) -> Measured | None:
    """Reads a run's folder; None if it has not been measured."""
    measured = folder / "eval" / "evaluation.json"
    if not measured.exists():
        return None
    metrics = json.loads(measured.read_text(encoding="utf-8"))["metrics"]
    times = folder / "cpu_seconds.txt"
    seconds = [float(line) for line in times.read_text(encoding="utf-8").split()] if times.exists() else []
    curve = [line["retrieval_at_1"] for line in RunFolder(folder).epochs() if "retrieval_at_1" in line]
    return Measured(metrics, sum(seconds) / 60 if seconds else None, curve)


def _planned() -> list[Run]:
    """Lists the runs of the table by group, then by seed."""
    groups = planned_runs()
    return [run for name in GROUPS for group, runs in groups.items() if group.split()[0] == name for run in runs]


def read_rows(out: Path) -> list[Row]:
    """Reads the rows of all planned runs, in the order of the plan. Rows without a finished run are among them."""
    runs: dict[tuple[str, str], list[Run]] = {}
    for run in _planned():
        runs.setdefault((run.architecture, run.name.rsplit(".", 2)[0]), []).append(run)
    rows = []
    for (architecture, setting), members in runs.items():
        found = {run.seed: one for run in members if (one := read_run(out / "runs" / run.name)) is not None}
        rows.append(Row(architecture, setting, members[0].modality, [run.seed for run in members], found))
    return rows


def missing_runs(rows: Iterable[Row], selection: Mapping[str, Measured | None]) -> list[str]:
    """Lists the runs that have not ended, those of the choice of the losses last."""
    missing = [
        f"{row.setting}.{row.architecture}.seed{seed}" for row in rows for seed in row.planned if seed not in row.found
    ]
    return missing + [f"selection.{name}" for name, one in selection.items() if one is None]


def read_selection(out: Path) -> dict[str, Measured | None]:
    """Reads the runs by which the losses were chosen, on held-out training groups. None has not ended."""
    return {run.name.partition(".")[2]: read_run(out / "runs" / run.name) for run in selection_runs()}


def spread(values: Iterable[float]) -> dict[str, float | None]:
    """Returns the mean and both ends of its 95 % interval over seeds. One seed has no interval, none has no mean."""
    known = list(values)
    low, high = interval(known) if len(known) > 1 else (None, None)
    return {"mean": statistics.fmean(known) if known else None, "low": low, "high": high}


def better_pcl(rows: Sequence[Row], row: Row) -> Row | None:
    """Returns the same architecture's PCL alone, of the same part of the videos, with the better retrieval@1.

    Seeds that both modalities have tell which one it is. Without any, it is the one that more seeds have.
    """
    names = [f"pcl-{modality}{row.part}" for modality in ("residual", "rgb")]
    found = [
        other for other in rows if other.architecture == row.architecture and other.setting in names and other.found
    ]
    shared = set.intersection(*(set(one.found) for one in found)) if found else set()

    def merit(one: Row) -> float:
        values = one.values(RETRIEVAL)
        return statistics.fmean(values[seed] for seed in shared) if shared else len(values)

    return max(found, key=merit, default=None)


def epochs_to_level(row: Row, pcl: Row | None) -> list[float]:
    """Returns, for each seed, the epoch that reaches PCL's end level, or one more than there are."""
    if pcl is None:
        return []
    curves = [one.curve for one in pcl.found.values()]
    return [speed_ratio(one.curve, curves) * len(one.curve) for one in row.found.values()]


def summary_row(row: Row, rows: Sequence[Row], teacher: Mapping[str, float]) -> dict[str, Any]:
    """Returns a row of summary.json."""
    return {
        "architecture": row.architecture,
        "setting": row.setting,
        "seeds": len(row.found),
        "retrieval_at_1": spread(row.values(RETRIEVAL).values()),
        "linear_probe": spread(row.values(PROBE).values()),
        "minutes": spread(row.minutes().values()),
        "epochs_to_pcl_level": spread(epochs_to_level(row, better_pcl(rows, row))),
        "teacher_retrieval_at_1": teacher[RETRIEVAL],
    }


def compared_row(row: Row, rows: Sequence[Row], teacher: Mapping[str, float]) -> dict[str, Any]:
    """Compares a setting with the better PCL alone, seed by seed, and with the teacher.

    A difference names its `seeds`, which both have. `epoch_ratio` is of PCL's epochs. `null` is the same for PCL's own
    seeds, each against the others' level.
    """
    line: dict[str, Any] = {"architecture": row.architecture, "setting": row.setting, "seeds": sorted(row.found)}
    for metric, name in ((RETRIEVAL, "retrieval_at_1"), (PROBE, "linear_probe")):
        line[f"{name}_of_teacher"] = spread(value / teacher[metric] for value in row.values(metric).values())
    if (pcl := better_pcl(rows, row)) is None:
        return line
    epochs, curves = len(next(iter(pcl.found.values())).curve), [one.curve for one in pcl.found.values()]
    line["pcl"] = pcl.setting
    line["retrieval_at_1_minus_pcl"] = _difference(row.values(RETRIEVAL), pcl.values(RETRIEVAL))
    line["linear_probe_minus_pcl"] = _difference(row.values(PROBE), pcl.values(PROBE))
    line["minutes_minus_pcl"] = _difference(row.minutes(), pcl.minutes())
    line["epoch_ratio"] = spread(epoch / epochs for epoch in epochs_to_level(row, pcl))
    line["null"] = spread(null_ratios(curves) if len(curves) > 1 else ())
    return line


def _difference(ones: Mapping[int, float], others: Mapping[int, float]) -> dict[str, Any]:
    """Returns the spread of the differences of paired seeds, and those seeds."""
    paired = {seed: value - others[seed] for seed, value in sorted(ones.items()) if seed in others}
    return {**spread(paired.values()), "seeds": list(paired)}


def aims_of(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Judges a compared row by the aims of pure distillation. `met` is None where seeds or PCL are missing.

    `seeds` are those that the value is of, where they are not the row's.
    """
    aims = []
    for name in ("retrieval_at_1", "linear_probe"):
        share, gain = line[f"{name}_of_teacher"], line.get(f"{name}_minus_pcl", _difference({}, {}))
        aims.append(_aim(f"{name}: at least 0.8 of the teacher's", share, lambda mean, low, high: mean >= 0.8))
        aims.append(
            _aim(f"{name}: at least 0.10 above PCL", gain, lambda mean, low, high: mean >= 0.10 and low > 0),
        )
    null, ratio = line.get("null", spread(())), line.get("epoch_ratio", spread(()))
    if null["low"] is None:
        ratio = {**ratio, "low": None}  # without a null, nothing is clear of it
    aims.append(
        _aim(
            "PCL's end level in at most 0.3 of its epochs, clear of the null",
            ratio,
            lambda mean, low, high: mean <= 0.3 and high < null["low"],
        )
    )
    minutes = line.get("minutes_minus_pcl", _difference({}, {}))
    aims.append(_aim("fewer minutes than PCL", minutes, lambda mean, low, high: mean < 0))
    return aims


def _aim(words: str, value: Mapping[str, Any], is_met: Any) -> dict[str, Any]:
    known = value["low"] is not None
    return {"aim": words, **value, "met": is_met(value["mean"], value["low"], value["high"]) if known else None}


def finetuned_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Lists accuracy after finetuning, and its difference to random weights with the same input, seed by seed."""
    by_place = {(row.architecture, row.setting): row for row in rows}
    lines = []
    for row in rows:
        start, dash, labels = row.setting.removeprefix("finetuned-").partition("-labels")
        if not dash or not row.found:
            continue
        scratch = scratch_of(row.modality)
        alone = by_place[row.architecture, f"finetuned-{scratch}-labels{labels}"].values(FINETUNED)
        lines.append(
            {
                "architecture": row.architecture,
                "start": start,
                "labels": float(labels) / 100,
                "seeds": sorted(row.found),
                "accuracy": spread(row.values(FINETUNED).values()),
                "scratch": scratch,
                "accuracy_minus_scratch": _difference(row.values(FINETUNED), {} if start == scratch else alone),
                "minutes": spread(row.minutes().values()),
            }
        )
    return lines


def is_pure(setting: str) -> bool:
    """Whether a setting is pure distillation of all videos, which the aims are about."""
    return setting in PURE
