"""The table of docs/results/precision.md: `summarise_precision.py OUTPUT_OF_RUNS`."""

import sys
from pathlib import Path

from runs import SEEDS, markdown_table, read_lines, with_interval

METRICS = ("pretext_accuracy", "retrieval_at_1", "retrieval_10clip_at_1")
PRECISIONS = ("fp32", "bf16")


def main() -> None:
    """Prints one row a metric, the differences seed by seed, and one of the last training losses."""
    runs = Path(sys.argv[1])
    read = {amp: [read_lines(runs / f"{amp}.seed{seed}") for seed in SEEDS] for amp in PRECISIONS}
    values = {
        metric: {amp: [final[metric] for _, final in of_amp] for amp, of_amp in read.items()} for metric in METRICS
    }
    values["training loss of the last epoch"] = {
        amp: [epochs[-1]["loss"] for epochs, _ in of_amp] for amp, of_amp in read.items()
    }
    rows = []
    for metric, of_metric in values.items():
        differences = [b - a for a, b in zip(*of_metric.values(), strict=True)]
        each = [" ".join(f"{value:.3f}" for value in of_amp) for of_amp in of_metric.values()]
        intervals = [with_interval(of_amp, sign="") for of_amp in of_metric.values()]
        rows.append([metric, each[0], intervals[0], each[1], intervals[1], with_interval(differences)])
    header = ["metric", *(f"{amp}{what}" for amp in PRECISIONS for what in (", seeds 0 1 2", " (95 %)")), "bf16 - fp32"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
