"""Linear probes of a study's finished runs: they measure how well features separate classes."""

from pathlib import Path

import simplejson

from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.evaluation_config import evaluation_config
from kdvideo.engine.run_folder import RunFolder
from kdvideo.evaluation.result import EVALUATION_NAME
from kdvideo.study.plan import Study, plan_runs
from kdvideo.study.queue import is_finished, run_folder

__all__ = ["probe_runs", "read_probe"]

_FOLDER, _METRIC = "linear_probe", "linear_probe_10clip"  # a study's runs are measured by 10 clips


def probe_runs(study: Study, output: Path) -> int:
    """Fits a probe to the features of every finished run without one, as `kdvideo eval` does.

    Args:
        study: the study of the runs.
        output: the study's folder.

    Returns:
        The number of fitted probes.
    """
    missing = [
        run.name for run in plan_runs(study) if is_finished(output, run.name) and read_probe(output, run.name) is None
    ]
    for name in missing:
        folder = run_folder(output, name)
        config_file = folder.with_name(f"{name}.yaml")
        cfg = evaluation_config(str(RunFolder(folder).newest), config_file)
        cfg.OUTPUT_DIR = str(folder / _FOLDER)
        evaluate(cfg, protocols=("linear_probe",))
    return len(missing)


def read_probe(output: Path, name: str) -> float | None:
    """Reads the accuracy of a run's linear probe, in [0, 1]. None means that it is not fitted yet."""
    path = run_folder(output, name) / _FOLDER / EVALUATION_NAME
    return simplejson.loads(path.read_text(encoding="utf-8"))["metrics"][_METRIC] if path.exists() else None
