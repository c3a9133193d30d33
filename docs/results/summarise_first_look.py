"""Tables and picture of docs/results/index.md: `summarise_first_look.py OUTPUT_OF_RUNS TARGET_FOLDER`."""

import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator
from runs import SEEDS, markdown_table, read_lines, with_interval

LAST = 3  # epochs whose mean is a run's level


def accuracies(folder: Path) -> list[float]:
    """Pretext accuracy of each evaluated epoch."""
    return [line["pretext_accuracy"] for line in read_lines(folder)[0] if "pretext_accuracy" in line]


def first_reaching(curve: list[float], level: float) -> int | None:
    """First epoch, from 1, whose running mean of three is at or above the level."""
    for epoch in range(LAST, len(curve) + 1):
        if statistics.mean(curve[epoch - LAST : epoch]) >= level:
            return epoch
    return None


def teacher_table(runs: Path) -> str:
    """One row a seed and their mean."""
    names = ("pretext_accuracy", "majority_share", "retrieval_at_1", "retrieval_10clip_at_1")
    rows, finals = [], []
    for seed in SEEDS:
        epochs, final = read_lines(runs / f"teacher.seed{seed}")
        finals.append(final)
        minutes = sum(line["seconds"] for line in epochs) / 60
        rows.append([str(seed), *(f"{final[name]:.3f}" for name in names), f"{minutes:.1f}"])
    rows.append(["mean", *(f"{statistics.mean(final[name] for final in finals):.3f}" for name in names), ""])
    return markdown_table(["seed", *names, "minutes of its epochs"], rows)


def summary_table(curves: dict[str, list[list[float]]], runs: Path) -> str:
    """Runs side by side; a row's last cell is distilled minus alone, seed by seed."""
    levels = {kind: [statistics.mean(curve[-LAST:]) for curve in of_kind] for kind, of_kind in curves.items()}
    finals = {kind: [read_lines(runs / f"{kind}.seed{seed}")[1] for seed in SEEDS] for kind in curves}
    measures = {
        "mean over all epochs": {kind: [statistics.mean(curve) for curve in curves[kind]] for kind in curves},
        f"mean of the last {LAST} epochs": levels,
        "retrieval@1": {kind: [final["retrieval_at_1"] for final in finals[kind]] for kind in curves},
        "retrieval@1, 10 clips": {kind: [f["retrieval_10clip_at_1"] for f in finals[kind]] for kind in curves},
    }
    rows = []
    for label, values in measures.items():
        differences = [b - a for a, b in zip(values["alone"], values["distilled"], strict=True)]
        rows.append([label, *(f"{v:.3f}" for kind in curves for v in values[kind]), with_interval(differences)])
    target = statistics.mean(levels["alone"])
    reached = [str(first_reaching(curve, target) or "never") for kind in curves for curve in curves[kind]]
    rows.append([f"first epoch at {target:.3f}", *reached, ""])
    header = [f"{kind}, seed {seed}" for kind in curves for seed in SEEDS]
    return markdown_table(["", *header, "difference (95 % interval)"], rows)


def epoch_table(curves: dict[str, list[list[float]]]) -> str:
    """Means over the seeds, epoch by epoch."""
    rows = []
    for epoch in range(len(curves["alone"][0])):
        alone, distilled = (statistics.mean(curve[epoch] for curve in curves[kind]) for kind in curves)
        rows.append([str(epoch + 1), f"{alone:.3f}", f"{distilled:.3f}", f"{distilled - alone:+.3f}"])
    return markdown_table(["epoch", "alone", "distilled", "difference"], rows)


def draw(curves: dict[str, list[list[float]]], path: Path, *, majority_share: float) -> None:
    """Mean over seeds, with the range of the seeds shaded."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for kind, label in (("alone", "c3d alone"), ("distilled", "c3d distilled from r3d_10")):
        columns = list(zip(*curves[kind], strict=True))
        epochs = range(1, len(columns) + 1)
        axes.plot(epochs, [statistics.mean(column) for column in columns], label=label)
        axes.fill_between(epochs, [min(column) for column in columns], [max(column) for column in columns], alpha=0.2)
    axes.axhline(majority_share, color="grey", linestyle=":", label="majority class")
    axes.set(xlabel="epoch", ylabel="pretext accuracy, test videos")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    figure.savefig(path, dpi=130)


def main() -> None:
    """Prints the tables, writes the picture."""
    runs, target = Path(sys.argv[1]), Path(sys.argv[2])
    kinds = ("alone", "distilled")
    curves = {kind: [accuracies(runs / f"{kind}.seed{seed}") for seed in SEEDS] for kind in kinds}
    print(teacher_table(runs), summary_table(curves, runs), epoch_table(curves), sep="\n\n")
    _, final = read_lines(runs / "alone.seed0")
    draw(curves, target / "c3d_students.png", majority_share=final["majority_share"])


if __name__ == "__main__":
    main()
