"""Times steps in one process, for `train_step.py`: CUDA events, a JSON line a result, the longest kernels."""

import argparse
import gc
import itertools
import json
import os
import statistics
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from device_rates import measure_rates
from json_lines import write_line
from step_cases import NUM_BATCHES, TUPLE_LEN, StepSettings, count_clip, take_steps, times_plain
from torch.profiler import ProfilerActivity, profile

NUM_WARM, NUM_PROFILED, NUM_KERNELS = 2 * NUM_BATCHES, 3, 25


class StepTimer:
    """Counts steps: some that warm up, those that are timed, and at the end some that are profiled.

    Args:
        num_steps: steps that are timed.
        profiled: whether steps are profiled.
        on_cuda: whether CUDA events measure the time. Otherwise the clock does, for rehearsals on a CPU.
    """

    def __init__(self, num_steps: int, *, profiled: bool, on_cuda: bool = True) -> None:
        self.num_steps, self.profiled, self.on_cuda = num_steps, profiled, on_cuda
        self.before = 0.0  # seconds until the end of the first step
        self.kernels: list[dict[str, Any]] = []
        self._started = time.perf_counter()
        self._marks: list[Any] = []
        self._profile = profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])])

    def after_step(self) -> bool:
        """Notes the time, and returns whether another step follows."""
        if not self._marks:
            self._wait()
            self.before = time.perf_counter() - self._started
        self._marks.append(self._mark())
        timed_until = NUM_WARM + self.num_steps
        if len(self._marks) == timed_until + 1:
            self._wait()
            if not self.profiled:
                return False
            self._profile.start()
        if len(self._marks) < timed_until + 1 + NUM_PROFILED:
            return True
        self._wait()
        self._profile.stop()
        self.kernels = longest_kernels(self._profile, on_cuda=self.on_cuda)
        return False

    def milliseconds(self) -> list[float]:
        """The time of each step that counts."""
        marks = self._marks[NUM_WARM : NUM_WARM + self.num_steps + 1]
        pairs = itertools.pairwise(marks)
        if self.on_cuda:
            return [first.elapsed_time(second) for first, second in pairs]
        return [1e3 * (second - first) for first, second in pairs]

    def _mark(self) -> Any:
        if not self.on_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _wait(self) -> None:
        if self.on_cuda:
            torch.cuda.synchronize()


def longest_kernels(profiled: profile, *, on_cuda: bool) -> list[dict[str, Any]]:
    """The kernels that took longest: milliseconds and calls a step, and their share of all kernels' time."""
    events = [
        event
        for event in profiled.key_averages()
        if not on_cuda or (event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False))
    ]
    times = [(event.self_device_time_total if on_cuda else event.self_cpu_time_total, event) for event in events]
    total = sum(spent for spent, _ in times) or 1
    chosen = sorted(times, key=lambda pair: pair[0], reverse=True)[:NUM_KERNELS]
    return [
        {
            "ms": round(spent / 1e3 / NUM_PROFILED, 4),
            "calls": round(event.count / NUM_PROFILED, 1),
            "share": round(spent / total, 4),
            "kernel": event.key[:160],
        }
        for spent, event in chosen
    ] + [{"ms": round(total / 1e3 / NUM_PROFILED, 4), "kernel": "all kernels of a step", "share": 1.0}]


def measure_case(case: str, settings: StepSettings, options: argparse.Namespace, rates: dict[str, float]) -> dict:
    """One result; what went wrong is a result, too."""
    on_cuda = settings.device == "cuda"
    line: dict[str, Any] = {"case": case, **asdict(settings)}
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    timer = StepTimer(options.steps, profiled=bool(options.profile), on_cuda=on_cuda)
    try:
        take_steps(case, settings, timer.after_step)
    except Exception as error:  # the other cases are to be measured all the same
        return {**line, "error": f"{type(error).__name__}: {error}"[:1000]}
    steps = timer.milliseconds()
    median = statistics.median(steps)
    forward, both = count_clip(settings)
    operations = settings.tuples * TUPLE_LEN * (both + (forward if case in ("plain", "online") else 0))
    line |= {
        "ms": round(median, 3),
        "ms_least": round(min(steps), 3),
        "ms_most": round(max(steps), 3),
        "tuples_per_s": round(1e3 * settings.tuples / median, 1),
        "TFLOP_per_step": round(operations / 1e12, 3),
        "TFLOP/s": round(operations / median / 1e9, 1),
        "share_of_matmul": round(operations / median / 1e9 / rates["bf16 TFLOP/s"], 4),
        "before_s": round(timer.before, 2),
    }
    if on_cuda:
        line["peak_GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return {**line, "kernels": timer.kernels} if options.profile else line


def show(line: dict[str, Any]) -> None:
    """Prints a result in one line."""
    name = f"{line['backbone']:12} {line['case']:7} {'compiled' if line['compiled'] else 'eager':9}"
    if "error" in line:
        print(f"{name} {line['error']}", flush=True)
        return
    print(
        f"{name} {line['ms']:8.2f} ms [{line['ms_least']:.2f} {line['ms_most']:.2f}]  {line['tuples_per_s']:7.1f} "
        f"tuples/s  {line['TFLOP/s']:6.1f} TFLOP/s, {line['share_of_matmul']:4.0%}  before {line['before_s']:.1f} s  "
        f"{line.get('peak_GB', 0):.1f} GB",
        flush=True,
    )


def show_kernels(line: dict[str, Any], path: Path) -> None:
    """Adds the table of a result's kernels to a file."""
    rows = [
        f"{kernel['ms']:9.3f} ms {kernel['share']:6.1%} {kernel.get('calls', ''):>6}  {kernel['kernel']}"
        for kernel in line["kernels"]
    ]
    head = f"{line['backbone']} {line['case']} {'compiled' if line['compiled'] else 'eager'}: {line['ms']} ms a step"
    with path.open("a") as file:
        file.write("\n".join([head, *rows, "", ""]))


def run_in_turn(settings: list[StepSettings], options: argparse.Namespace) -> None:
    """Times every case; those that are not compiled come first, because compiling takes long."""
    device = torch.device(settings[0].device)
    rates = measure_rates(device)
    print(json.dumps(rates), flush=True)
    write_line(options.json, {"rates": rates})
    ratios: dict[str, dict[str, float]] = {}
    medians: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KDVIDEO_HOME"] = folder  # for the replay stores
        for compiled in {"off": (False,), "on": (True,), "both": (False, True)}[options.compile]:
            for base in settings:
                for case in options.cases:
                    if case == "plain" and compiled and options.compile == "both":
                        continue
                    line = measure_case(case, replace(base, compiled=compiled), options, rates)
                    of_backbone = medians.setdefault(base.backbone, {})
                    if "ms" in line:
                        of_backbone[f"{case} compiled" if compiled and case != "plain" else case] = line["ms"]
                        if "plain" in of_backbone:
                            line["times_plain"] = round(of_backbone["plain"] / line["ms"], 2)
                    show(line)
                    if line.get("kernels"):
                        show_kernels(line, options.profile)
                    write_line(options.json, line)
                    _forget()
                ratios[base.backbone] = times_plain(medians.get(base.backbone, {}))
    print(json.dumps(ratios))


def _forget() -> None:
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
