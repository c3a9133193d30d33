"""`kdvideo study run`, `kdvideo study probe` and `kdvideo study report`."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from kdvideo.cli import slurm
from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.options import EXIT_STOPPED
from kdvideo.cli.process import long_work
from kdvideo.cli.study_workers import RUNS_PER_GPU, default_at_once, visible_gpus, workers
from kdvideo.paths import expand_user

if TYPE_CHECKING:
    from fvcore.common.config import CfgNode

    from kdvideo.study.queue import PreparedRun, Start

__all__ = ["add_arguments"]

_FINISHED = "finished"
_PAUSE, _JOB_PAUSE = 0.05, 0.5  # seconds between looks at the runs; a look at a job starts squeue


def add_arguments(commands: Any) -> None:
    """Adds `study` to argparse's `commands`."""
    parser = commands.add_parser("study", help="many runs from one file, and what they say together")
    actions = parser.add_subparsers(dest="study_command", required=True)
    run = actions.add_parser("run", help="make the runs that are not finished")
    run.add_argument("study", type=Path, help="a yaml file, or a name of `kdvideo configs`: study/..")
    run.add_argument("--data", type=Path, required=True, help="DATA.ROOT of all runs")
    run.add_argument("--output", type=Path, required=True, help="folder of all runs")
    run.add_argument("--at-once", type=int, help=f"runs at a time; default: one per core, {RUNS_PER_GPU} per GPU")
    run.add_argument("--seeds", type=_seeds, metavar="N,N", help="only these of the file's, and their teachers")
    run.add_argument("--threads", type=int, default=1, help="of each run (default 1)")
    add_import_argument(run)
    slurm.add_arguments(run)
    run.set_defaults(run=_run)
    probe = actions.add_parser("probe", help="linear probes of the runs that are finished, for the report")
    probe.add_argument("study", type=Path, help="the same yaml file")
    probe.add_argument("--output", type=Path, required=True, help="the folder of the runs")
    add_import_argument(probe)
    probe.set_defaults(run=_probe)
    report = actions.add_parser("report", help="figures, tables and numbers of the runs that are finished")
    report.add_argument("study", type=Path, help="the same yaml file")
    report.add_argument("--output", type=Path, required=True, help="the folder of the runs")
    report.add_argument(
        "--seeds", type=_seeds, metavar="N,N", help='only these, or "finished" for those whose runs are all finished'
    )
    report.add_argument("--to", type=Path, help="the folder to write (default: OUTPUT/report)")
    report.set_defaults(run=_report)


def _run(options: argparse.Namespace) -> int:
    from kdvideo.engine.log import log_to
    from kdvideo.engine.run_folder import RunFolder
    from kdvideo.study.plan import select_seeds
    from kdvideo.study.queue import run_study
    from kdvideo.study.read import read_study

    at_once = default_at_once(submitted=bool(options.submit)) if options.at_once is None else options.at_once
    if at_once < 1 or options.threads < 1:
        raise ValueError(f"--at-once is {at_once} and --threads {options.threads}; both must be at least 1")
    study = read_study(options.study)
    if options.seeds is not None:
        study = select_seeds(study, options.seeds)
    output, data = expand_user(options.output).resolve(), expand_user(options.data).resolve()
    output.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _stop)
    pause, has_gpu = (_JOB_PAUSE, slurm.asks_for_gpu(options)) if options.submit else (_PAUSE, None)
    try:
        with long_work(), log_to(RunFolder(output).log), _starter(options, at_once) as start:
            run_study(study, output, data=data, start=start, at_once=at_once, pause=pause, has_gpu=has_gpu)
    except KeyboardInterrupt:
        print("kdvideo: the study is stopped; the same command goes on", file=sys.stderr)
        return EXIT_STOPPED
    return 0


@contextmanager
def _starter(options: argparse.Namespace, at_once: int) -> Iterator["Start"]:
    """Yields the function that starts a run: as a job, or in a process of this machine."""
    if options.submit:
        yield partial(_submit, options)
        return
    with workers(at_once, threads=options.threads, gpus=visible_gpus()) as pool:
        yield lambda prepared: pool.start(
            [*_arguments(prepared, options.imports), *_share_of_cores(prepared.cfg, at_once)], _log(prepared.folder)
        )


def _share_of_cores(cfg: "CfgNode", at_once: int) -> list[str]:
    """Returns the override that gives a run its part of the cores, if its loader would take all of them."""
    from kdvideo.data.checking.isolation import available_cores
    from kdvideo.data.loader import ALL_CORES

    if cfg.DATA.NUM_WORKERS != ALL_CORES:
        return []
    return ["DATA.NUM_WORKERS", str(max(1, available_cores() // at_once - 1))]


def _submit(options: argparse.Namespace, prepared: "PreparedRun") -> Callable[[], int | None]:
    job = slurm.submit_command(_arguments(prepared, options.imports), options, output_dir=prepared.folder)
    return lambda: 0 if slurm.has_left_queue(job) else None


def _probe(options: argparse.Namespace) -> None:
    from kdvideo.study.probe import probe_runs
    from kdvideo.study.read import read_study

    with long_work():
        count = probe_runs(read_study(options.study), expand_user(options.output).resolve())
    print(f"{count} probes fitted; kdvideo study report shows them")


def _report(options: argparse.Namespace) -> None:
    from kdvideo.study.page import write_report
    from kdvideo.study.plan import select_seeds
    from kdvideo.study.read import read_study
    from kdvideo.study.results import finished_seeds

    target, study = options.to or options.output / "report", read_study(options.study)
    if options.seeds is not None:
        study = select_seeds(study, options.seeds or finished_seeds(study, options.output))
    write_report(study, options.output, target)
    print(target / "study.md")


def _seeds(text: str) -> list[int]:
    """Reads seeds. An empty list means those that are finished."""
    if text == _FINISHED:
        return []
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be numbers, e.g. 0,1,2") from None


def _arguments(prepared: "PreparedRun", imports: Sequence[str]) -> list[str]:
    own_parts = [word for name in imports for word in ("--import", name)]
    resume = ["--resume"] if prepared.resume else []
    return ["train", *own_parts, "--config-file", str(prepared.config_file), *resume]


def _log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
