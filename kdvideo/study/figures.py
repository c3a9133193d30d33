"""A study's figures: the paper's Figures 3 to 9, and its 3 x 3 matrix."""

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kdvideo.pictures.style import COLORS, GREY, style
from kdvideo.study.plan import Setting, Study
from kdvideo.study.results import Measured, PairResult, baselines_of, taught_by

__all__ = ["draw_baselines", "draw_matrix", "draw_students_by_teacher", "draw_students_of_same"]

Curves = Sequence[Sequence[float]]


def draw_baselines(results: Mapping[str, Measured], study: Study) -> Figure:
    """Draws every architecture alone, as the paper's Figure 3. Curves are means over seeds, with their range."""
    with style():
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for color, architecture in zip(COLORS, study.architectures, strict=False):
            _draw_curves(axes, _curves(baselines_of(results, study, architecture)), color=color, label=architecture)
        _finish(axes, "Alone", results)
        axes.legend(loc="upper left")
    return figure


def draw_students_of_same(results: Mapping[str, Measured], study: Study, setting: Setting) -> Figure:
    """Draws students whose teachers have their own architecture.

    These are the paper's Figures 4 to 6. Each is beside the same architecture alone.
    """
    return _draw_panels(
        results, study, setting, {one: [(one, one)] for one in study.architectures}, title="{}, by itself"
    )


def draw_students_by_teacher(results: Mapping[str, Measured], study: Study, setting: Setting) -> Figure:
    """Draws each teacher's students of all architectures.

    These are the paper's Figures 7 to 9. The same architectures alone are dotted.
    """
    panels = {teacher: [(one, teacher) for one in study.architectures] for teacher in study.architectures}
    return _draw_panels(results, study, setting, panels, title="taught by {}")


def _draw_panels(
    results: Mapping[str, Measured],
    study: Study,
    setting: Setting,
    panels: Mapping[str, Sequence[tuple[str, str]]],
    *,
    title: str,
) -> Figure:
    colors = dict(zip(study.architectures, COLORS, strict=False))
    with style():
        figure = Figure(figsize=(4.0 * len(panels), 4.4), layout="constrained")
        for axes, (name, pairs) in zip(
            figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
        ):
            for pair in pairs:
                student, color = pair[0], colors[pair[0]]
                alone = _curves(baselines_of(results, study, student))
                _draw_curves(axes, alone, color=color, label=f"{student} alone", dotted=True)
                taught = _curves(taught_by(results, setting.name, pair))
                _draw_curves(axes, taught, color=color, label=f"{student} taught")
            _finish(axes, title.format(name), results)
        lines = {str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()}
        shown = {label: line for label, line in lines.items() if not label.startswith("_")}
        figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=len(colors))
        figure.suptitle(f"setting {setting.name!r}: teachers of {setting.teacher_epochs} epochs")
    return figure


def _curves(runs: Sequence[Measured]) -> Curves:
    return [one.curve for one in runs]


def _draw_curves(axes: Axes, curves: Curves, *, color: str, label: str, dotted: bool = False) -> None:
    if not curves:
        return
    by_epoch = list(zip(*curves, strict=True))
    epochs = range(1, len(by_epoch) + 1)
    axes.plot(
        epochs, [statistics.fmean(values) for values in by_epoch], ":" if dotted else "-", color=color, label=label
    )
    axes.fill_between(
        epochs,
        [min(values) for values in by_epoch],
        [max(values) for values in by_epoch],
        color=color,
        alpha=0.12,
        lw=0,
    )


def _finish(axes: Axes, title: str, results: Mapping[str, Measured]) -> None:
    chance = {one.final["majority_share"] for one in results.values()}
    axes.axhline(min(chance), color=GREY, linestyle=":", linewidth=1)
    axes.set(xlabel="epoch", ylabel="pretext accuracy", title=title)
    axes.label_outer()
    axes.grid(axis="y", color="#E5E5E5")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_matrix(pairs: Sequence[PairResult], study: Study, *, title: str) -> Figure:
    """Draws the mean `speed_ratio` of each student and teacher. Missing pairs are white."""
    names = list(study.architectures)
    ratios = {(pair.student, pair.teacher): pair.ratios for pair in pairs}
    with style():
        figure = Figure(figsize=(1.6 + 1.2 * len(names), 1.2 + 0.9 * len(names)), layout="constrained")
        axes = figure.subplots()
        means = [
            [
                statistics.fmean(ratios[student, teacher]) if (student, teacher) in ratios else float("nan")
                for student in names
            ]
            for teacher in names
        ]
        image = axes.imshow(means, cmap="cividis", vmin=0, vmax=1.05, aspect="auto")
        for row, teacher in enumerate(names):
            for column, student in enumerate(names):
                if (student, teacher) in ratios:
                    values = ratios[student, teacher]
                    mean = statistics.fmean(values)
                    text = f"{mean:.2f}\n{min(values):.2f} to {max(values):.2f}" if len(values) > 1 else f"{mean:.2f}"
                    axes.text(column, row, text, ha="center", va="center", color="white" if mean < 0.6 else "black")
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="student", ylabel="teacher", title=title)
        figure.colorbar(image, label="share of all epochs")
    return figure
