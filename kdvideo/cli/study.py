"""`kdvideo study run`, `kdvideo study probe` and `kdvideo study report`."""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from kdvideo.cli import slurm
from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.options import EXIT_STOPPED
from kdvideo.cli.process import long_work
from kdvideo.paths import expand_user

if TYPE_CHECKING:
    from kdvideo.study.queue import PreparedRun

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `study` to argparse's `commands`."""
    parser = commands.add_parser("study", help="many runs from one file, and what they say together")
    actions = parser.add_subparsers(dest="study_command", required=True)
    run = actions.add_parser("run", help="make the runs that are not finished")
    run.add_argument("study", type=Path, help="a yaml file; see model_zoo/configs/study")
    run.add_argument("--data", type=Path, required=True, help="DATA.ROOT of all runs")
    run.add_argument("--output", type=Path, required=True, help="folder of all runs")
    run.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at a time; default: one per core")
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
    report.add_argument("--to", type=Path, help="the folder to write (default: OUTPUT/report)")
    report.set_defaults(run=_report)


def _run(options: argparse.Namespace) -> int:
    from kdvideo.engine.log import log_to
    from kdvideo.engine.run_folder import RunFolder
    from kdvideo.study.plan import read_study
    from kdvideo.study.queue import run_study

    if options.at_once < 1 or options.threads < 1:
        raise ValueError(f"--at-once is {options.at_once} and --threads {options.threads}; both must be at least 1")
    study = read_study(options.study)
    output = expand_user(options.output).resolve()
    output.mkdir(parents=True, exist_ok=True)
    processes: list[subprocess.Popen[bytes]] = []
    signal.signal(signal.SIGTERM, _stop)

    def start(prepared: "PreparedRun") -> Callable[[], int | None]:
        if options.submit:
            job = slurm.submit_command(_arguments(prepared, options.imports), options, output_dir=prepared.folder)
            return lambda: 0 if slurm.has_left_queue(job) else None
        processes.append(_start_process(_arguments(prepared, options.imports), prepared.folder, options.threads))
        return processes[-1].poll

    try:
        with long_work(), log_to(RunFolder(output).log):
            run_study(study, output, data=expand_user(options.data).resolve(), start=start, at_once=options.at_once)
    except KeyboardInterrupt:
        for process in processes:
            process.terminate()  # each process writes a checkpoint
        for process in processes:
            process.wait()
        print("kdvideo: the study is stopped; the same command goes on", file=sys.stderr)
        return EXIT_STOPPED
    return 0


def _probe(options: argparse.Namespace) -> None:
    from kdvideo.study.plan import read_study
    from kdvideo.study.probe import probe_runs

    with long_work():
        count = probe_runs(read_study(options.study), expand_user(options.output).resolve())
    print(f"{count} probes fitted; kdvideo study report shows them")


def _report(options: argparse.Namespace) -> None:
    from kdvideo.study.page import write_report
    from kdvideo.study.plan import read_study

    target = options.to or options.output / "report"
    write_report(read_study(options.study), options.output, target)
    print(target / "study.md")


def _arguments(prepared: "PreparedRun", imports: Sequence[str]) -> list[str]:
    own_parts = [word for name in imports for word in ("--import", name)]
    resume = ["--resume"] if prepared.resume else []
    return ["train", *own_parts, "--config-file", str(prepared.config_file), *resume]


def _start_process(arguments: list[str], folder: Path, threads: int) -> "subprocess.Popen[bytes]":
    log = folder.with_name(f"{folder.name}.log")
    command = [sys.executable, "-c", "import sys; from kdvideo.cli import main; sys.exit(main())", *arguments]
    with log.open("ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # Ctrl-C reaches only us; we send SIGTERM, and the run then writes a checkpoint
            preexec_fn=_end_with_parent if os.name == "posix" else None,
        )


def _end_with_parent() -> None:
    """Ends a run when its study is killed. Otherwise it would block the next study."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, Linux only


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
