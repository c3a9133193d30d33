"""The tables of precision.md and bank_rows.md: `summarise_ways.py OUTPUT fp32 bf16`, of runs in `fp32.seed0` ..."""

import sys
from pathlib import Path

from runs import SEEDS, markdown_table, read_lines, with_interval

METRICS = ("pretext_accuracy", "retrieval_at_1", "retrieval_10clip_at_1")


def main() -> None:
    """Prints one row a metric, the differences seed by seed, and one of the last training losses."""
    runs, ways = Path(sys.argv[1]), sys.argv[2:]
    read = {way: [read_lines(runs / f"{way}.seed{seed}") for seed in SEEDS] for way in ways}
    values = {
        metric: {way: [final[metric] for _, final in of_way] for way, of_way in read.items()} for metric in METRICS
    }
    values["training loss of the last epoch"] = {
        way: [epochs[-1]["loss"] for epochs, _ in of_way] for way, of_way in read.items()
    }
    rows = []
    for metric, of_metric in values.items():
        differences = [b - a for a, b in zip(*of_metric.values(), strict=True)]
        each = [" ".join(f"{value:.3f}" for value in of_way) for of_way in of_metric.values()]
        intervals = [with_interval(of_way, sign="") for of_way in of_metric.values()]
        rows.append([metric, each[0], intervals[0], each[1], intervals[1], with_interval(differences)])
    header = [
        "metric",
        *(f"{way}{what}" for way in ways for what in (", seeds 0 1 2", " (95 %)")),
        " - ".join(reversed(ways)),
    ]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
