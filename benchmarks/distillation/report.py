"""Makes summary.json and a table from the runs that have ended.

    python benchmarks/distillation/report.py OUT [--to docs/results/distillation]

`summary.json` has a row per architecture and setting. `epochs_to_pcl_level` is the first epoch whose running mean of
held-out retrieval reaches the end level of the better of the two PCL settings, and `null` the same for PCL's own seeds
against the other seeds.
"""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdvideo.study.estimator import epoch_reached, final_level, interval, null_ratios

PCL = ("pcl-residual", "pcl-rgb")
Rows = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]  # (architecture, setting) -> a line per seed


def read_run(folder: Path) -> dict[str, Any] | None:
    """Returns a run's curve and measurements; None if it has not been measured."""
    measured = folder / "eval" / "evaluation.json"
    if not measured.exists():
        return None
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    metrics = json.loads(measured.read_text(encoding="utf-8"))["metrics"]
    seconds = [float(line) for line in (folder / "cpu_seconds.txt").read_text(encoding="utf-8").split()]
    return {
        "curve": [line["retrieval_at_1"] for line in lines if not line.get("final")],
        "retrieval_at_1": metrics["retrieval_10clip_at_1"],
        "linear_probe": metrics["linear_probe_accuracy"],
        "minutes": sum(seconds) / 60,
    }


def read_rows(out: Path) -> Rows:
    """Reads all runs whose names are SETTING.ARCHITECTURE.seedN."""
    rows = defaultdict(list)
    for folder in sorted((out / "runs").glob("*.*.seed*")):
        if folder.is_dir() and (run := read_run(folder)):
            setting, architecture, _ = folder.name.rsplit(".", 2)
            rows[architecture, setting].append(run)
    return rows


def better_pcl(rows: Rows, architecture: str) -> str:
    """Returns the PCL setting with the better retrieval."""
    found = [name for name in PCL if rows.get((architecture, name))]
    return max(found, key=lambda name: statistics.fmean(run["retrieval_at_1"] for run in rows[architecture, name]))


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Returns mean and 95 % interval over seeds. The interval is null for one seed."""
    low, high = interval(values) if len(values) > 1 else (None, None)
    return {"mean": statistics.fmean(values), "low": low, "high": high}


def summarise(rows: Rows, teacher: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Yields the rows of summary.json."""
    for (architecture, setting), runs in sorted(rows.items()):
        if not any(rows.get((architecture, name)) for name in PCL):
            continue  # nothing to compare with yet
        pcl = [run["curve"] for run in rows[architecture, better_pcl(rows, architecture)]]
        level = statistics.fmean(final_level(curve) for curve in pcl)
        reached = [epoch_reached(run["curve"], level) for run in runs]
        yield {
            "architecture": architecture,
            "setting": setting,
            "seeds": len(runs),
            **{key: spread([run[key] for run in runs]) for key in ("retrieval_at_1", "linear_probe", "minutes")},
            "epochs_to_pcl_level": spread(
                [len(run["curve"]) + 1 if one is None else one for one, run in zip(reached, runs, strict=True)]
            ),
            "never_reached": reached.count(None),
            "null_epochs": [ratio * len(pcl[0]) for ratio in null_ratios(pcl)] if len(pcl) > 1 else [],
            "teacher_retrieval_at_1": teacher["retrieval_10clip_at_1"],
            "teacher_linear_probe": teacher["linear_probe_accuracy"],
        }


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as a Markdown table."""

    def cell(value: Mapping[str, Any], digits: int) -> str:
        if value["low"] is None:
            return f"{value['mean']:.{digits}f}"
        return f"{value['mean']:.{digits}f} ({value['low']:.{digits}f} to {value['high']:.{digits}f})"

    head = "| network | setting | seeds | retrieval@1 | linear probe | minutes | epochs to PCL's level |\n"
    head += "|---|---|---|---|---|---|---|\n"
    return head + "".join(
        f"| {line['architecture']} | {line['setting']} | {line['seeds']} | {cell(line['retrieval_at_1'], 3)} "
        f"| {cell(line['linear_probe'], 3)} | {cell(line['minutes'], 1)} | {cell(line['epochs_to_pcl_level'], 1)} |\n"
        for line in lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--to", type=Path, default=Path("docs/results/distillation"))
    options = parser.parse_args()
    rows, teacher = read_rows(options.out), json.loads((options.out / "teacher.json").read_text(encoding="utf-8"))
    lines = list(summarise(rows, teacher))
    options.to.mkdir(parents=True, exist_ok=True)
    (options.to / "summary.json").write_text(json.dumps(lines, indent=2) + "\n", encoding="utf-8")
    runs = [{"architecture": key[0], "setting": key[1], **run} for key, found in sorted(rows.items()) for run in found]
    (options.to / "runs.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs), encoding="utf-8")
    print(table(lines))


if __name__ == "__main__":
    main()
