"""The report's HTML: template, style and script in one file, which makes no request to any server."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdvideo.evaluation.metrics import parse_metric
from kdvideo.extras import extra_imports
from kdvideo.files import write_text
from kdvideo.inference.neighbours import Grid, build_grid
from kdvideo.report.comparison import compare_runs, format_value, short_names
from kdvideo.report.matrix import ALONE, build_matrices, students_of
from kdvideo.report.models import metric_names, model_rows
from kdvideo.report.runs import RunRecord, find_runs
from kdvideo.version import __version__
from kdvideo.zoo.folder import Zoo, accept_zoo_dir
from kdvideo.zoo.manage import EntryState, entry_states

__all__ = ["render_report", "write_report"]

_TEMPLATES = Path(__file__).parent / "templates"
_NO_CURVES = ("epoch", "step")  # the x-axis of the curves


@accept_zoo_dir
def write_report(
    out: Path,
    *,
    zoo: Zoo | None = None,
    runs: Sequence[Path] = (),
    galleries: Sequence[tuple[Path, Path]] = (),
) -> Path:
    """Writes models, runs and galleries as one page.

    Args:
        out: the HTML file.
        zoo: a zoo to look into before the user's and the packaged one.
        runs: folders of runs, or of folders of runs.
        galleries: pairs of a file of `kdvideo embed` and the folder that it embedded. Each gives a retrieval grid.

    Raises:
        ValueError: `out` is not an HTML file, or a zoo, run or gallery is not at its path.
        MissingExtraError: plotly or jinja2 is not installed.
    """
    if out.suffix not in (".html", ".htm") or out.is_dir():
        raise ValueError(f"--out {out} must be a file that ends in .html")
    if zoo is not None:
        zoo.check_exists()
    grids = [build_grid(path, root) for path, root in galleries]
    write_text(out, render_report(entry_states(zoo), find_runs(runs), grids=grids))
    return out


def render_report(states: Sequence[EntryState], runs: Sequence[RunRecord], *, grids: Sequence[Grid] = ()) -> str:
    """Renders the page's text from models, runs and galleries.

    Args:
        states: the models, in the order of the table.
        runs: the runs whose curves are drawn.
        grids: the retrieval grids of galleries.

    Raises:
        MissingExtraError: plotly or jinja2 is not installed.
    """
    with extra_imports():
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from plotly.offline import get_plotlyjs
    rows = model_rows(states)
    students = students_of([state.entry for state in states], runs)
    curves = [{"name": run.name, "epochs": run.epochs} for run in runs if run.epochs]
    comparison = compare_runs(runs)
    scripts = [get_plotlyjs(), (_TEMPLATES / "report.js").read_text(encoding="utf-8")]
    # This environment escapes everything from entries and runs, in the text and in the script's data.
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    text = environment.get_template("report.html").render(
        models=rows,
        metrics=metric_names(rows),
        matrices=build_matrices(students),
        alone=ALONE,
        comparison=comparison,
        short_names=short_names(comparison.settings),
        format_value=format_value,
        grids=grids,
        data={"models": rows, "curves": curves},
        curve_metrics=_curve_metrics(curves),
        style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
        scripts=scripts,
        script_hashes=[_csp_hash(script) for script in scripts],
        version=__version__,
        date=datetime.now(UTC).date().isoformat(),
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # names of folders need not be valid text


def _curve_metrics(curves: Sequence[dict[str, Any]]) -> list[str]:
    """Lists everything that has a curve, accuracies first."""
    names = {name for curve in curves for line in curve["epochs"] for name in line} - set(_NO_CURVES)
    return sorted(names, key=lambda name: (name != "pretext_accuracy", not parse_metric(name).is_accuracy, name))


def _csp_hash(script: str) -> str:
    """Returns the name of a script for the content security policy.

    The browser runs no other script, even if an entry contains one.
    """
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
