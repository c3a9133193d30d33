"""The table of docs/results/pretexts.md: `summarise_pretexts.py OUTPUT_OF_RUNS`."""

import sys
from pathlib import Path

from runs import SEEDS, markdown_table, read_lines, with_interval

METRICS = ("retrieval_at_1", "retrieval_10clip_at_1", "pretext_accuracy")


def main() -> None:
    """Prints one row a pretext and metric: joined, alone, and the difference seed by seed."""
    runs = Path(sys.argv[1])
    rows = []
    for pretext in ("vcp", "vcop", "rotnet"):
        finals = {
            kind: [read_lines(runs / f"{kind}{pretext}.seed{seed}")[1] for seed in SEEDS] for kind in ("pcl-", "")
        }
        for metric in METRICS:
            values = {kind: [final[metric] for final in of_kind] for kind, of_kind in finals.items()}
            each = [f"{' '.join(f'{v:.3f}' for v in of_kind)}" for of_kind in values.values()]
            means = [f"{sum(of_kind) / len(of_kind):.3f}" for of_kind in values.values()]
            gains = [joined - alone for joined, alone in zip(*values.values(), strict=True)]
            rows.append([pretext, metric, each[0], means[0], each[1], means[1], with_interval(gains)])
    header = ["pretext", "metric", "PCL: seeds 0, 1, 2", "mean", "alone: seeds 0, 1, 2", "mean", "PCL - alone (95 %)"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
