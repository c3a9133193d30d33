"""What two process-wide settings are worth on this machine: how OpenMP threads wait, and whether freed memory is kept.

    python benchmarks/step_settings.py [--steps 6]

Each case is a process of its own, since both settings are read once; the cases go in turn, three rounds, and the median
time of a training step counts. "busy" runs one more process that keeps a core occupied, as a loader's worker or another
job does. The last line is one JSON object with ratios: above 1 means that the setting is faster than the default.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

BACKBONES = ("r3d_10", "c3d", "r2plus1d_10")
DEFAULT = {"OMP_WAIT_POLICY": "", "KEEP_MEMORY": ""}
CASES = {
    "default": DEFAULT,
    "keep_memory": {**DEFAULT, "KEEP_MEMORY": "1"},
    "passive_wait": {**DEFAULT, "OMP_WAIT_POLICY": "PASSIVE"},
    "both": {"KEEP_MEMORY": "1", "OMP_WAIT_POLICY": "PASSIVE"},
}


def measure_step(backbone: str, *, num_steps: int) -> float:
    """Median seconds of a PCL-like step: 16 tuples of 3 clips of 8 frames of 56 x 56, width 16."""
    import torch

    import kdvideo
    from kdvideo.engine.memory import keep_freed_memory

    if os.environ.get("KEEP_MEMORY"):
        keep_freed_memory()
    spec = kdvideo.ClipSpec(clip_len=8, size=56)
    model = kdvideo.create_pcl_model(backbone, width=16, clip_spec=spec).to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    clips = torch.randint(0, 256, (16, 3, 3, 8, 56, 56), dtype=torch.uint8)
    seconds = []
    for _ in range(num_steps + 1):  # the first one warms up
        started = time.perf_counter()
        outputs = model(kdvideo.prepare_clips(clips, spec))
        optimizer.zero_grad()
        (outputs["pretext_logits"].square().mean() + outputs["z"].sum()).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


@contextlib.contextmanager
def busy_core(busy: bool) -> Iterator[None]:
    """Keeps one core occupied while the block runs."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        yield
    finally:
        if process:
            process.kill()
            process.wait()


def run_case(backbone: str, settings: dict[str, str], *, num_steps: int) -> float:
    """One case in a process of its own."""
    environment = {**os.environ, **settings}
    if not settings["OMP_WAIT_POLICY"]:
        environment.pop("OMP_WAIT_POLICY")
    command = [sys.executable, "-W", "ignore", __file__, "--steps", str(num_steps), "--one", backbone]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--one", choices=BACKBONES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(measure_step(options.one, num_steps=options.steps))
        return
    ratios: dict[str, dict[str, float]] = {}
    for backbone in BACKBONES:
        for busy in (False, True):
            seconds: dict[str, list[float]] = {name: [] for name in CASES}
            for _ in range(3):
                for name, settings in CASES.items():
                    with busy_core(busy):
                        seconds[name].append(run_case(backbone, settings, num_steps=options.steps))
            medians = {name: statistics.median(values) for name, values in seconds.items()}
            key = f"{backbone}{' busy' if busy else ''}"
            ratios[key] = {name: round(medians["default"] / medians[name], 2) for name in CASES}
            print(key, {name: f"{value:.3f} s" for name, value in medians.items()}, flush=True)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
