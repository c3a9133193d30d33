"""The table of docs/results/finetune.md: `summarise_finetune.py OUTPUT_OF_RUNS`."""

import statistics
import sys
from pathlib import Path

from runs import SEEDS, markdown_table, read_lines, with_interval

ORIGINS = {"scratch": "from scratch", "pcl": "from PCL(VCP)", "distilled": "from a distilled student"}
METRIC = "video_accuracy_10clip"


def main() -> None:
    """Prints one row an origin: accuracy of each seed, mean, difference to scratch, the chosen epochs."""
    runs = Path(sys.argv[1])
    finals = {origin: [read_lines(runs / f"finetuned-{origin}.seed{seed}")[1] for seed in SEEDS] for origin in ORIGINS}
    accuracy = {origin: [final[METRIC] for final in of_origin] for origin, of_origin in finals.items()}
    rows = []
    for origin, label in ORIGINS.items():
        values = accuracy[origin]
        gains = [value - base for value, base in zip(values, accuracy["scratch"], strict=True)]
        rows.append(
            [
                label,
                *(f"{value:.3f}" for value in values),
                f"{statistics.mean(values):.3f}",
                "" if origin == "scratch" else with_interval(gains),
                f"{statistics.mean(final['clip_accuracy'] for final in finals[origin]):.3f}",
                f"{statistics.mean(final['validation_accuracy'] for final in finals[origin]):.3f}",
                ", ".join(str(final["epoch"]) for final in finals[origin]),
            ]
        )
    seeds = [f"seed {seed}" for seed in SEEDS]
    print(
        markdown_table(
            ["", *seeds, "mean", "minus scratch (95 %)", "clip accuracy", "held-out accuracy", "chosen epochs"], rows
        )
    )


if __name__ == "__main__":
    main()
