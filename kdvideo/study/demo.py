"""A small example of the main job: publish a teacher, train a student without and with it, publish the student."""

import logging
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdvideo.config import load_config
from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.launch import train
from kdvideo.engine.stop import Stopping, never_stop
from kdvideo.files import write_text
from kdvideo.paths import zoo_root
from kdvideo.pictures.curves import draw_curves
from kdvideo.pictures.style import save_figure
from kdvideo.report.runs import find_runs
from kdvideo.tables import markdown_table

__all__ = ["run_demo"]

TEACHER_NAME = "r3d_10_w16.pcl-vcp_synthetic-s1"
STUDENT_NAME = "c3d_w8.pcl-vcp-from-r3d_10_w16_synthetic-s1"
logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class _Row:
    label: str
    metrics: dict[str, Any]
    seconds: float


def run_demo(output: Path, *, seed: int = 0, stopping: Stopping = never_stop) -> None:
    """Writes the data, runs four trainings, prints the table and draws the curves.

    Args:
        output: folder for all results: `data/`, `runs/`, `zoo/`, `curves.png`, `table.md`. It replaces the results of
            an earlier demo there.
        seed: seed of data and training.
        stopping: how a run is stopped; see `train`.

    Raises:
        ValueError: the folder holds other things.
    """
    _clear_earlier_demo(output)
    root = write_synthetic_ucf101(output / "data", SyntheticConfig(seed=seed))
    run = _Runner(output, root, seed, stopping)
    rows = [
        run("random weights", "student", evaluate_only=True),
        run("teacher (r3d_10, width 16)", "teacher", publish_as=TEACHER_NAME),
        run("student alone (c3d, width 8)", "student"),
        run("student distilled (c3d, width 8)", "distill", teacher=TEACHER_NAME, publish_as=STUDENT_NAME),
    ]
    table = _format_table(rows)
    write_text(output / "table.md", table)
    _draw_curves(output)
    print(f"\n{table}\ncurves: {output / 'curves.png'}\nzoo:    {output / 'zoo' / 'MODEL_ZOO.md'}")


def _clear_earlier_demo(output: Path) -> None:
    """Empties a folder that a demo made. It refuses a folder with other things in it."""
    marker = output / ".kdvideo_demo"
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output {output} is not a folder")
    if output.is_dir() and any(output.iterdir()) and not marker.exists():
        raise ValueError(f"--output {output} holds other things than an earlier demo: choose another folder")
    for part in ("data", "runs", "zoo"):
        shutil.rmtree(output / part, ignore_errors=True)
    write_text(marker, "kdvideo demo may replace what is in this folder\n")


class _Runner:
    """Starts one of the demo's configs, as `tools/train_net.py` would."""

    def __init__(self, output: Path, root: Path, seed: int, stopping: Stopping) -> None:
        self.output, self.stopping = output, stopping
        self.root = root
        self.seed = seed

    def __call__(
        self, label: str, config: str, *, teacher: str = "", publish_as: str = "", evaluate_only: bool = False
    ) -> _Row:
        cfg = load_config(zoo_root() / "configs" / "demo" / f"{config}.yaml")
        cfg.DATA.ROOT, cfg.SEED = str(self.root), self.seed
        cfg.OUTPUT_DIR = str(self.output / "runs" / ("random" if evaluate_only else config))
        cfg.ZOO.DIR, cfg.ZOO.PUBLISH_AS, cfg.TEACHER.WEIGHTS = str(self.output / "zoo"), publish_as, teacher
        started = time.perf_counter()
        metrics = evaluate(cfg).metrics if evaluate_only else train(cfg, stopping=self.stopping).metrics
        return _Row(label, metrics, time.perf_counter() - started)


def _format_table(rows: list[_Row]) -> str:
    lines = [("weights", "pretext accuracy", "majority share", "retrieval@1", "seconds")]
    for row in rows:
        pretext, majority, retrieval = (
            f"{row.metrics[name]:.3f}" for name in ("pretext_accuracy", "majority_share", "retrieval_at_1")
        )
        lines.append((row.label, pretext, majority, retrieval, f"{row.seconds:.0f}"))
    return markdown_table(lines)


def _draw_curves(output: Path) -> None:
    labels = {"teacher": "teacher", "student": "student alone", "distill": "student distilled"}
    runs = [replace(run, name=label) for name, label in labels.items() for run in find_runs([output / "runs" / name])]
    save_figure(draw_curves(runs), output / "curves.png")
