"""A distillation step at full size: a plain loop, kdvideo with its teacher, and kdvideo with the teacher replayed.

    python benchmarks/train_step.py [--backbones r3d_10 r2plus1d_10 c3d] [--rounds 5] [--compile]

Batches of 4 tuples of 3 clips of 16 frames of 112 x 112, 2 threads, CPU, a teacher of the student's architecture:

    plain    a loop as the PCL paper's recipe reads: fp32, contiguous, a forward for each clip of a tuple
    online   kdvideo, SOLVER.AMP bf16
    replay   the same with TEACHER.REPLAY on, the answers being there
    alone    the same without a teacher: PCL's own step

Each case is a process of its own, as its settings of memory and threads are read once. They take steps in turn, and the
medians are compared. What is done once, the first step and compiling included, is timed apart. A step is all from uint8
clips to new weights. The share of the peak counts 6 operations a multiply-add of the student's forward, against the
fastest product of two square matrices in the same precision. The processor seconds are those of all threads; on a busy
machine they say more than the clock. The last line is one JSON object: how many times as fast as plain.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

BACKBONES = ("r3d_10", "r2plus1d_10", "c3d")
CASES = ("plain", "online", "replay", "alone")
NUM_TUPLES, TUPLE_LEN, NUM_VIDEOS, NUM_THREADS = 4, 3, 9537, 2
NUM_CLIPS = NUM_TUPLES * TUPLE_LEN
Step = Callable[[], object]


def make_samples() -> list[dict]:
    """One batch's samples, as the data path gives them."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return [
        {
            "clips": torch.randint(0, 256, (TUPLE_LEN, 3, 16, 112, 112), dtype=torch.uint8, generator=generator),
            "pretext_label": index % 5,
            "index": index,
            "epoch": 0,
            "negatives": torch.randint(NUM_TUPLES, NUM_VIDEOS, (1024,), generator=generator),
        }
        for index in range(NUM_TUPLES)
    ]


def make_plain(backbone: str) -> Step:
    """PCL with a teacher as a script has it: arXiv 2010.15464, section 3, and Hinton's distillation."""
    import torch
    from torch.nn import functional as F
    from torch.utils.data import default_collate

    import kdvideo

    student, teacher = kdvideo.create_pcl_model(backbone).train(), kdvideo.create_pcl_model(backbone).eval()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    banks = [F.normalize(torch.randn(NUM_VIDEOS, 128), dim=1) for _ in range(2)]
    batch = default_collate(make_samples())

    def step() -> None:
        clips = (batch["clips"].float() / 255 - 0.45) / 0.225
        clips = clips.roll(1, dims=3) - clips
        features = [student.backbone(clips[:, i]) for i in range(TUPLE_LEN)]
        logits = student.pretext_head.fc(torch.cat(features, dim=1))
        with torch.no_grad():
            taught = teacher.pretext_head.fc(
                torch.cat([teacher.backbone(clips[:, i]) for i in range(TUPLE_LEN)], dim=1)
            )
        loss = F.cross_entropy(logits, batch["pretext_label"])
        z = [student.projection_head(features[i]) for i in (0, -1)]
        candidates = torch.cat((batch["index"][:, None], batch["negatives"]), dim=1)
        for own, other in ((0, 1), (1, 0)):
            similarity = (banks[other][candidates] * z[own][:, None]).sum(dim=2) / 0.07
            loss = loss + 0.5 * F.cross_entropy(similarity, torch.zeros(NUM_TUPLES, dtype=torch.long))
        loss = loss + 16 * F.kl_div((logits / 4).log_softmax(1), (taught / 4).softmax(1), reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for bank, of_clip in zip(banks, z, strict=True):
                bank[batch["index"]] = F.normalize(0.5 * bank[batch["index"]] + 0.5 * of_clip, dim=1)
        loss.item()

    return step


def make_ours(backbone: str, case: str, *, compiled: bool, folder: Path) -> Step:
    """The parts of a run, without videos."""
    import torch
    from torch.utils.data import DataLoader

    import kdvideo
    from kdvideo.config import get_defaults
    from kdvideo.data.loader import EpochSampler
    from kdvideo.engine.memory import keep_freed_memory
    from kdvideo.engine.optim import build_optimizer, build_schedule
    from kdvideo.engine.precision import AMP_DTYPES, prepare_frozen, prepare_student
    from kdvideo.engine.trainer import Trainer
    from kdvideo.registry import TASKS
    from kdvideo.tasks.replay import ReplayStore
    from kdvideo.tasks.teacher import teacher_output_shapes

    keep_freed_memory()
    cfg = get_defaults()
    cfg.TASK.NAME = "pcl" if case == "alone" else "distill"
    cfg.MODEL.BACKBONE = backbone
    cfg.SOLVER.merge_from_list(["BATCH_SIZE", NUM_TUPLES, "AMP", "bf16", "COMPILE", compiled])
    device = torch.device("cpu")
    student, teacher = (kdvideo.create_pcl_model(backbone) for _ in range(2))
    student.to(memory_format=torch.channels_last_3d)
    prepare_frozen(teacher, AMP_DTYPES[cfg.SOLVER.AMP])
    options: dict = {}
    if case == "replay":
        shapes = teacher_output_shapes(teacher, cfg.TEACHER.LOSSES, tuple_len=TUPLE_LEN)
        options["replay"] = ReplayStore(folder, {}, shapes=shapes, num_epochs=1, num_videos=NUM_VIDEOS)
    task = TASKS.get(cfg.TASK.NAME).from_config(cfg, model=student, num_videos=NUM_VIDEOS, teacher=teacher, **options)
    prepare_student(student.backbone, cfg, device=device)
    optimizer = build_optimizer(cfg, task.trainable, backbone=student.backbone)
    samples = make_samples()
    loader = DataLoader(samples, batch_size=NUM_TUPLES, sampler=EpochSampler(NUM_TUPLES, seed=0, batch_size=NUM_TUPLES))  # type: ignore[arg-type]
    trainer = Trainer(
        task.train(),
        loader,
        optimizer=optimizer,
        schedule=build_schedule(cfg, optimizer),
        num_epochs=10**6,
        device=device,
    )
    batch = torch.utils.data.default_collate(samples)
    return lambda: trainer._train_step(batch)


def serve(pipe: Connection, case: str, backbone: str, *, compiled: bool, folder: Path) -> None:
    """Takes a step and says its seconds whenever it is asked to."""
    import torch

    torch.set_num_threads(NUM_THREADS)
    started = time.perf_counter()
    step = make_plain(backbone) if case == "plain" else make_ours(backbone, case, compiled=compiled, folder=folder)
    step()
    pipe.send(time.perf_counter() - started)
    while pipe.recv():
        started = time.perf_counter(), time.process_time()
        step()
        pipe.send((time.perf_counter() - started[0], time.process_time() - started[1]))


class Case:
    """A process that takes steps."""

    def __init__(self, case: str, backbone: str, *, compiled: bool, folder: Path) -> None:
        if case == "plain":
            os.environ.pop("OMP_WAIT_POLICY", None)
        else:
            os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as `kdvideo train` sets it
        self.pipe, other = multiprocessing.Pipe()
        arguments = {"compiled": compiled, "folder": folder}
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=serve, args=(other, case, backbone), kwargs=arguments)
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


def measure_peak() -> dict[str, float]:
    """Operations a second of the fastest product of two matrices of 4096 x 4096, by precision."""
    import torch

    torch.set_num_threads(NUM_THREADS)
    peaks = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.ones(4096, 4096, dtype=dtype)
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            a @ a
            seconds.append(time.perf_counter() - started)
        peaks[name] = 2 * 4096**3 / min(seconds)
    return peaks


def count_macs(backbone: str) -> float:
    """Multiply-adds of one clip's forward."""
    import torch
    from fvcore.nn import FlopCountAnalysis

    import kdvideo

    counter = FlopCountAnalysis(kdvideo.create_model(backbone).eval(), torch.zeros(1, 3, 16, 112, 112))
    return counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def compare(backbone: str, *, num_rounds: int, compiled: bool, peaks: dict[str, float]) -> dict[str, float]:
    """Medians of all cases, printed; how many times as fast as the plain loop."""
    with tempfile.TemporaryDirectory() as folder:
        cases, before = {}, {}
        for name in CASES:  # one after the other, so that each has the processor while it prepares
            cases[name] = Case(name, backbone, compiled=compiled, folder=Path(folder))
            before[name] = cases[name].prepare()
            cases[name].step()
        seconds: dict[str, list[float]] = {name: [] for name in CASES}
        busy: dict[str, list[float]] = {name: [] for name in CASES}
        for _ in range(num_rounds):
            for name, case in cases.items():
                of_step = case.step()
                seconds[name].append(of_step[0])
                busy[name].append(of_step[1])
        for case in cases.values():
            case.close()
    macs = count_macs(backbone)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        share = 6 * macs * NUM_CLIPS / median / peaks["fp32" if name == "plain" else "bf16"]
        spread = " ".join(f"{value:.2f}" for value in sorted(seconds[name]))
        print(
            f"{backbone:12} {name:7} {median:6.2f} s  {NUM_CLIPS / median:5.2f} clips/s  {share:4.0%} of the peak  "
            f"before {before[name]:.1f} s  processor {statistics.median(busy[name]):6.2f} s  [{spread}]",
            flush=True,
        )
    print(f"{backbone:12} a replayed step takes {medians['replay'] / medians['alone']:.3f} of one without a teacher")
    return {name: round(medians["plain"] / medians[name], 2) for name in ("replay", "online")}


def main() -> None:
    """Prints a line a case, then the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=BACKBONES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="SOLVER.COMPILE")
    options = parser.parse_args()
    peaks = measure_peak()
    print("peak:", ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()), flush=True)
    ratios = {
        backbone: compare(backbone, num_rounds=options.rounds, compiled=options.compile, peaks=peaks)
        for backbone in options.backbones
    }
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
