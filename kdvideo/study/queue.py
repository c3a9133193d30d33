"""Trains the runs of a study, one after the other or several at once. Finished runs are not repeated."""

import logging
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from kdvideo.config import all_settings, dump_config, flatten_config, validate_config
from kdvideo.config.key import Role
from kdvideo.config.keys import keys_with_role
from kdvideo.engine.launch import with_single_clips
from kdvideo.engine.run_folder import RunFolder
from kdvideo.files import write_atomic
from kdvideo.study.plan import Study, StudyRun, build_config, plan_runs
from kdvideo.study.selection import write_held_out_lists

__all__ = ["PreparedRun", "Start", "is_finished", "run_folder", "run_study"]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class PreparedRun:
    """What `kdvideo train` needs to start or continue a run.

    Attributes:
        run: the planned run.
        folder: its OUTPUT_DIR.
        cfg: the complete config of the run.
        config_file: the same as a file.
        resume: whether its folder has a checkpoint.
    """

    run: StudyRun
    folder: Path
    cfg: CfgNode
    config_file: Path
    resume: bool


Start = Callable[[PreparedRun], Callable[[], int | None]]


def run_folder(output: Path, name: str) -> Path:
    """Returns a run's folder in the study's `output`."""
    return output / "runs" / name


def is_finished(output: Path, name: str) -> bool:
    """Returns whether a run has been trained and measured."""
    return RunFolder(run_folder(output, name)).is_finished


def run_study(
    study: Study,
    output: Path,
    *,
    data: Path,
    start: Start,
    at_once: int,
    pause: float = 0.5,
    has_gpu: bool | None = None,
) -> None:
    """Trains every unfinished run, after the runs that it needs.

    If a run fails, only the runs that need it are left out.

    Args:
        study: the study whose runs are trained.
        output: the study's folder. If a run's folder in it was removed, the run is trained again.
        data: DATA.ROOT of all runs.
        start: starts a run. It returns a function that gives None while the run lasts, then its exit code.
        at_once: number of runs at the same time.
        pause: seconds between two looks at the runs.
        has_gpu: whether the runs have a GPU. Defaults to whether this machine has one.

    Raises:
        ValueError: the data do not exist, a config cannot work, or a finished run had other settings. All this is
            checked before anything is started. Also raised if runs have failed; the message names them.
    """
    planned = plan_runs(study)
    configs = _place_all(study, planned, output=output, data=data)
    for run in planned:
        validate_config(configs[run.name], has_gpu=has_gpu)
        folder = RunFolder(run_folder(output, run.name))
        _check_same_settings(with_single_clips(configs[run.name]), folder, grid_keys=run.grid_keys)
    waiting = [run for run in planned if not is_finished(output, run.name)]
    logger.info("%d of %d runs are finished", len(planned) - len(waiting), len(planned))
    running: dict[str, Callable[[], int | None]] = {}
    failed: list[str] = []
    while waiting or running:
        for run in [run for run in waiting if all(is_finished(output, name) for name in run.after)]:
            if len(running) < at_once:
                waiting.remove(run)
                running[run.name] = start(_prepare(run, configs[run.name], output))
        for name, code in [(name, poll()) for name, poll in running.items()]:
            if code is None:
                continue
            del running[name]
            done = is_finished(output, name)
            if not done:
                failed.append(name)
            outcome = "is finished" if done else f"FAILED{_killed(code)}"
            logger.info("%s %s; %d to go", name, outcome, len(waiting) + len(running))
        if not running and not any(all(is_finished(output, name) for name in run.after) for run in waiting):
            break  # all remaining runs need a run that has failed
        time.sleep(pause)
    if failed:
        left_out = f", and {len(waiting)} that need them were left out" if waiting else ""
        logs = run_folder(output, f"{failed[0]}.log")
        names = ", ".join(failed[:3]) + (" ..." if len(failed) > 3 else "")
        raise ValueError(f"{len(failed)} runs failed{left_out}: {names}; see {logs}, then start again")


def _killed(code: int) -> str:
    return f", killed by {signal.Signals(-code).name}" if code < 0 else ""


def _place_all(study: Study, runs: Sequence[StudyRun], *, output: Path, data: Path) -> dict[str, CfgNode]:
    """Returns the complete config of each run by its name."""
    if not data.is_dir():
        raise ValueError(f"--data {data} is not a folder: give the dataset's")
    lists = write_held_out_lists(data, study.held_out_groups, output / "lists") if study.held_out_groups else None
    return {run.name: _place(build_config(study, run), run, output=output, data=data, lists=lists) for run in runs}


def _place(cfg: CfgNode, run: StudyRun, *, output: Path, data: Path, lists: Path | None) -> CfgNode:
    cfg.DATA.ROOT, cfg.OUTPUT_DIR = str(data), str(run_folder(output, run.name))
    if lists is not None:
        cfg.DATA.LIST_DIR = str(lists)
    if run.teacher_run:
        cfg.TEACHER.WEIGHTS = str(RunFolder(run_folder(output, run.teacher_run)).newest)
    return cfg


def _check_same_settings(cfg: CfgNode, folder: RunFolder, *, grid_keys: Sequence[str]) -> None:
    """Checks that a run was made with the study's settings.

    Places may differ, but not those of a grid: they tell its runs apart, and names may only number them.
    """
    if not (config := folder.config()):
        return
    before = all_settings(config)
    free = {*keys_with_role(Role.PLACE), "ZOO.PUBLISH_AS", "ZOO.REPLACE"} - {*grid_keys}
    for key, value in flatten_config(cfg).items():
        if key not in free and not _is_same(key, value, before.get(key)):
            raise ValueError(
                f"{folder.path} was made with {key} {before.get(key)!r}, the study says {value!r}: remove it, or "
                "choose another --output"
            )


def _is_same(key: str, value: Any, before: Any) -> bool:
    """Returns whether a run's stored value is what the study says. A run finds out, and stores, what "auto" means."""
    if key == "TEACHER.SAMPLING":
        return value in ("auto", before)
    if key == "TEACHERS" and isinstance(before, list) and len(before) == len(value):
        return all(map(_is_same_block, value, before))
    return bool(value == before)


def _is_same_block(block: Mapping[str, Any], before: Any) -> bool:
    if not isinstance(before, dict):
        return False
    chosen = {"SAMPLING"} if block.get("SAMPLING", "auto") == "auto" else set()
    told, stored = ({key: one[key] for key in one.keys() - chosen} for one in (block, before))
    return told == stored


def _prepare(run: StudyRun, cfg: CfgNode, output: Path) -> PreparedRun:
    folder = RunFolder(run_folder(output, run.name))
    folder.path.mkdir(parents=True, exist_ok=True)
    if run.continues and not folder.checkpoints():
        _copy_epochs(RunFolder(run_folder(output, run.continues)), folder)
    config_file = folder.path.with_name(f"{folder.path.name}.yaml")
    dump_config(cfg, config_file)
    return PreparedRun(run, folder.path, cfg, config_file, resume=bool(folder.checkpoints()))


def _copy_epochs(source: RunFolder, target: RunFolder) -> None:
    """Copies a shorter run's lines and checkpoint. At a constant rate, a longer run has the same beginning."""
    target.copy_epochs(source)
    # Copied last, because its presence means that the run can be continued.
    write_atomic(target.newest, lambda temporary: shutil.copyfile(source.newest, temporary))
