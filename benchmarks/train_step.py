"""A distillation step: a plain loop, kdvideo with its teacher, and kdvideo with the teacher replayed.

    python benchmarks/train_step.py [--backbones r3d_10 r2plus1d_10 c3d] [--rounds 5] [--compile]
    python benchmarks/train_step.py --device cuda [--steps 20] [--compile both] [--json FILE] [--profile FILE]

Tuples of 3 clips of 16 frames of 112 x 112, width 64, random uint8 data, several batches in turn. `step_cases.py`
says what the cases are. A step is all from uint8 clips in the host's memory to new weights, and it is taken by the
trainer that `kdvideo train` builds.

On a CPU (2 threads, 4 tuples), each case is a process of its own, as its settings of memory and threads are read once.
They take steps in turn, and the medians are compared. The share of the peak counts 6 operations a multiply-add of the
student's forward, against the fastest product of two square matrices in the same precision. The processor seconds are
those of all threads; on a busy machine they say more than the clock.

On a GPU (16 tuples), one process takes the cases one after the other. CUDA events between the steps measure them; the
median of --steps counts, after steps that warm up. TFLOP/s count forward and backward of the student, without the
stem's input gradient, and the forward of a teacher that is asked. Their share is that of a bf16 product of 8192 x 8192
in the same process. The plain loop has torch's defaults, so its convolutions use TF32. Each result is a JSON line of
--json as soon as it is there; --profile adds the 25 kernels that took longest.

What is done once, the first step and compiling included, is timed apart. The last line is one JSON object: how many
times as fast as plain.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from device_rates import matmul_rate
from json_lines import write_line
from one_process import run_in_turn
from step_cases import CASES, TUPLE_LEN, StepSettings, count_clip, take_steps, times_plain

BACKBONES = ("r3d_10", "r2plus1d_10", "c3d")
NUM_THREADS = 2


def serve(pipe: Connection, case: str, settings: StepSettings) -> None:
    """Takes a step and says its seconds whenever it is asked to."""
    torch.set_num_threads(NUM_THREADS)
    marks = [(time.perf_counter(), time.process_time())]

    def after_step() -> bool:
        elapsed = time.perf_counter() - marks[-1][0], time.process_time() - marks[-1][1]
        pipe.send(elapsed if len(marks) > 1 else elapsed[0])
        goes_on = pipe.recv()
        marks.append((time.perf_counter(), time.process_time()))
        return goes_on

    take_steps(case, settings, after_step)


class Case:
    """A process that takes steps."""

    def __init__(self, case: str, settings: StepSettings) -> None:
        if case == "plain":
            os.environ.pop("OMP_WAIT_POLICY", None)
        else:
            os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as `kdvideo train` sets it
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=serve, args=(other, case, settings))
        self.process.start()
        other.close()  # so that a process that has died is noticed

    def prepare(self) -> float:
        """Seconds of all that comes before the second step."""
        return self.pipe.recv()

    def step(self) -> tuple[float, float]:
        """Seconds of one step, and the processor's seconds of all threads."""
        self.pipe.send(True)
        return self.pipe.recv()

    def close(self) -> None:
        """Ends the process."""
        self.pipe.send(False)
        self.process.join()


def compare_on_cpu(settings: StepSettings, cases: list[str], *, num_rounds: int, peaks: dict[str, float]) -> dict:
    """Medians of all cases, printed; how many times as fast as the plain loop."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KDVIDEO_HOME"] = folder  # for the replay stores
        running, before = {}, {}
        for name in cases:  # one after the other, so that each has the processor while it prepares
            running[name] = Case(name, settings)
            before[name] = running[name].prepare()
            running[name].step()
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for _ in range(num_rounds):
            for name, case in running.items():
                taken[name].append(case.step())
        for case in running.values():
            case.close()
    forward, _ = count_clip(settings)
    clips = settings.tuples * TUPLE_LEN
    medians = {name: statistics.median(seconds for seconds, _ in steps) for name, steps in taken.items()}
    for name, median in medians.items():
        share = 3 * forward * clips / median / peaks["fp32" if name == "plain" else "bf16"]
        spread = " ".join(f"{seconds:.2f}" for seconds, _ in sorted(taken[name]))
        print(
            f"{settings.backbone:12} {name:7} {median:6.2f} s  {clips / median:5.2f} clips/s  {share:4.0%} of the "
            f"peak  before {before[name]:.1f} s  processor "
            f"{statistics.median(busy for _, busy in taken[name]):6.2f} s  [{spread}]",
            flush=True,
        )
    return medians


def run_on_cpu(settings: list[StepSettings], options: argparse.Namespace) -> None:
    """Prints a line a case, then the ratios."""
    torch.set_num_threads(NUM_THREADS)
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    peaks = {name: matmul_rate(torch.device("cpu"), dtype) for name, dtype in dtypes.items()}
    print("peak:", ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()), flush=True)
    ratios = {}
    for of_backbone in settings:
        medians = compare_on_cpu(of_backbone, options.cases, num_rounds=options.rounds, peaks=peaks)
        write_line(options.json, {**vars(of_backbone), "seconds": medians})
        if {"replay", "alone"} <= medians.keys():
            ratio = medians["replay"] / medians["alone"]
            print(f"{of_backbone.backbone:12} a replayed step takes {ratio:.3f} of one without a teacher", flush=True)
        ratios[of_backbone.backbone] = times_plain(medians)
    print(json.dumps(ratios))


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=BACKBONES)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--one-process", action="store_true", help="measure a CPU as a GPU: one case after the other")
    parser.add_argument("--tuples", type=int, help="in a step: 4 on a CPU, 16 on a GPU")
    parser.add_argument("--amp", choices=("bf16", "fp16", "fp32", "tf32"), default="bf16", help="SOLVER.AMP")
    parser.add_argument(
        "--compile", choices=("off", "on", "both"), nargs="?", const="on", default="off", help="SOLVER.COMPILE"
    )
    parser.add_argument(
        "--deterministic", action=argparse.BooleanOptionalAction, default=True, help="SOLVER.DETERMINISTIC"
    )
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5, help="steps that count, on a CPU")
    parser.add_argument("--steps", type=int, default=20, help="steps that count, on a GPU")
    parser.add_argument("--set", nargs="+", default=(), metavar="KEY VALUE", help="further pairs of the config")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets a line as soon as a result is there")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="gets the longest kernels; in one process")
    return parser.parse_args()


def main() -> None:
    """Times the cases on the device."""
    options = read_options()
    base = StepSettings(
        backbone="",
        device=options.device,
        tuples=options.tuples or (16 if options.device == "cuda" else 4),
        amp=options.amp,
        compiled=options.compile == "on",
        deterministic=options.deterministic,
        width=options.width,
        size=options.size,
        length=options.length,
        options=tuple(options.set),
    )
    settings = [replace(base, backbone=backbone) for backbone in options.backbones]
    if options.device == "cuda" or options.one_process:
        run_in_turn(settings, options)
    else:
        run_on_cpu(settings, options)


if __name__ == "__main__":
    main()
