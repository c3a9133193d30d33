"""Training curves: one panel per metric, one line per run."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from kdvideo.evaluation.metrics import parse_metric
from kdvideo.pictures.style import COLORS, GREY, printable, style
from kdvideo.report.runs import RunRecord

__all__ = ["draw_curves"]

_LINES = ("-", "--", "-.", ":")


def draw_curves(runs: Sequence[RunRecord], metrics: Sequence[str] = ("pretext_accuracy",)) -> Figure:
    """Draws metrics over epochs.

    Args:
        runs: the runs. Each one that has a metric gives one line in its panel.
        metrics: keys of `metrics.jsonl`. Each gives one panel.

    Raises:
        ValueError: no run has such a metric.
    """
    known = sorted({name for run in runs for line in run.epochs for name in line} - {"epoch"})
    for metric in metrics:
        if metric not in known:
            raise ValueError(f"no run has a metric {metric!r}: choose from {', '.join(known) or '(there is none yet)'}")
    with style():
        figure = Figure(
            figsize=(1.2 + 4.2 * len(metrics), 3.2 + 0.2 * len(runs)), layout=ConstrainedLayoutEngine(w_pad=0.1)
        )
        (panels,) = figure.subplots(1, len(metrics), squeeze=False)
        for axes, metric in zip(panels, metrics, strict=True):
            _draw_panel(axes, runs, metric)
        lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        # Passed one by one, because a label that begins with "_" is hidden otherwise.
        figure.legend(list(lines.values()), list(lines), loc="outside lower center")
    return figure


def _draw_panel(axes: Axes, runs: Sequence[RunRecord], metric: str) -> None:
    name = parse_metric(metric)
    levels = set()
    for number, run in enumerate(runs):
        lines = [line for line in run.epochs if metric in line]
        levels |= {line[name.chance] for line in lines if name.chance in line}
        if lines:
            axes.plot(
                [line["epoch"] for line in lines],
                [line[metric] for line in lines],
                color=COLORS[number % len(COLORS)],
                linestyle=_LINES[number // len(COLORS) % len(_LINES)],
                marker="o" if len(lines) == 1 else "",
                label=printable(run.name),
            )
    if len(levels) == 1:
        axes.axhline(levels.pop(), color=GREY, linestyle=":", label="chance: always the most frequent answer")
    axes.set(xlabel="epoch", ylabel=metric.replace("_at_", "@").replace("_", " "))
    axes.grid(axis="y", color="#E5E5E5")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if name.is_accuracy:
        axes.set_ylim(0, 1)
