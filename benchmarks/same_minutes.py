"""What the same minutes of training give: PCL, a student and its teacher, and PCL in a plain loop.

    python benchmarks/same_minutes.py plain PROXIES OUTPUT [--minutes 30]    (and `alone`, and `distilled`)
    python benchmarks/same_minutes.py table OUTPUT

A c3d of width 16 on ucf101-mini's proxies, PCL(VCP), one thread and one worker, one-cycle rate over the minutes:

    plain      a script as the PCL paper's recipe reads: PyAV in sequence, PIL a frame, fp32, a forward for each clip
    alone      kdvideo, bf16
    distilled  kdvideo, bf16: half of the minutes for an r3d_10, the other half for the c3d that it teaches

All draw the same samples and have the same losses: only the time a step takes and the teacher differ. The plain loop
too has kdvideo's allocator setting, and is faster for it than it would be. Minutes are those from the first batch to
the last step of the last epoch that fits. The evaluation comes after them and is the same for all: 10 fixed tuples a
test video, retrieval by 2 and by 10 clips.
"""

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CASES = ("plain", "alone", "distilled")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import simplejson  # noqa: E402
import torch  # noqa: E402 - the number of threads is read when it is imported
from data_path import read_with_pil  # noqa: E402
from fvcore.common.config import CfgNode  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from kdvideo.config import load_config  # noqa: E402
from kdvideo.data.batch import Sample, SampleKey  # noqa: E402
from kdvideo.data.clip_spec import prepare_clips  # noqa: E402
from kdvideo.data.loader import EpochSampler  # noqa: E402
from kdvideo.data.plan import SamplePlan  # noqa: E402
from kdvideo.data.samples import TrainTuples  # noqa: E402
from kdvideo.engine.build import build_tuple_config  # noqa: E402
from kdvideo.engine.launch import train  # noqa: E402
from kdvideo.engine.memory import keep_freed_memory  # noqa: E402
from kdvideo.engine.optim import build_optimizer, build_schedule  # noqa: E402
from kdvideo.engine.pretraining import pretraining  # noqa: E402
from kdvideo.engine.run_folder import RunFolder  # noqa: E402
from kdvideo.engine.trainer import Hook, Trainer  # noqa: E402
from kdvideo.losses import BatchNCE  # noqa: E402
from kdvideo.models.pcl import PCLModel  # noqa: E402
from kdvideo.paths import zoo_root  # noqa: E402


class PlainTuples(TrainTuples):
    """The same plans, read in sequence and cut picture by picture."""

    def read(self, key: SampleKey, plan: SamplePlan) -> Sample:
        """Reads what `TrainTuples` does, without the negatives that a loss within the batch does not need."""
        path = self.videos.records[key.video].path
        pictures = read_with_pil(path, plan, config=self.config)
        clips = pictures.unflatten(0, (len(plan.clips), -1)).transpose(1, 2)  # [N, C, T, S, S]
        return {
            "clips": self.config.pretext.apply(clips, plan.pretext),
            "pretext_label": plan.pretext.label,
            "index": key.video,
        }


def plain_loss(model: PCLModel, batch: Mapping[str, Tensor], *, contrast_weight: float) -> Tensor:
    """PCL, arXiv 2010.15464, equation 5."""
    spec = model.backbone.clip_spec
    clips = prepare_clips(batch["clips"], spec)
    features = torch.stack([model.backbone(clips[:, i].contiguous()) for i in range(clips.shape[1])], dim=1)
    z = model.projection_head(features[:, [0, -1]])
    contrast = BatchNCE()(z, batch["index"])
    return F.cross_entropy(model.pretext_head(features), batch["pretext_label"]) + contrast_weight * contrast


def train_plain(data: str, folder: Path, *, minutes: float) -> dict[str, Any]:
    """The plain loop until the time is up, then kdvideo's evaluation of its weights."""
    cfg = build_config("alone", "c3d", data, folder, ["SOLVER.AMP", "fp32"])
    torch.manual_seed(cfg.SEED)
    parts = pretraining(cfg, RunFolder(folder), device=torch.device("cpu"))
    model = parts.model.to(memory_format=torch.contiguous_format)
    assert isinstance(model, PCLModel)
    dataset = PlainTuples(parts.videos, build_tuple_config(cfg), seed=cfg.SEED, num_negatives=0)
    sampler = EpochSampler(len(dataset), seed=cfg.SEED, batch_size=cfg.SOLVER.BATCH_SIZE)
    loader = DataLoader(dataset, batch_size=cfg.SOLVER.BATCH_SIZE, sampler=sampler, num_workers=1, drop_last=True)
    optimizer = build_optimizer(cfg, model, backbone=model.backbone)
    schedule = build_schedule(cfg, optimizer)
    started, epoch, step, share = time.perf_counter(), 0, 0, 0.0
    while share < 1:
        sampler.epoch = epoch
        for batch in loader:
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(share, group)
            optimizer.zero_grad()
            plain_loss(model, batch, contrast_weight=cfg.CONTRAST.WEIGHT).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), cfg.SOLVER.CLIP_GRADIENTS)
            optimizer.step()
            step += 1
            share = (time.perf_counter() - started) / (60 * minutes)
            if share >= 1:
                break
        epoch += 1
    model.to(memory_format=torch.channels_last_3d)
    final = parts.prepare_measurements().at_end(epoch)
    return {"minutes": share * minutes, "epochs": step / len(loader), **final.line}


class Deadline(Hook):
    """Ends a run after a number of minutes from its first batch: after each epoch, as many more as then fit."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self.started: float | None = None
        self.taken = 0.0  # minutes from the first batch to the last step

    def before_epoch(self, trainer: Trainer) -> None:
        """The clock starts with the first."""
        self.started = self.started or time.perf_counter()

    def after_step(self, trainer: Trainer, scalars: Mapping[str, float]) -> None:
        """So that an evaluation at the end is not counted."""
        assert self.started is not None
        self.taken = (time.perf_counter() - self.started) / 60

    def after_epoch(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """The rate follows, as it depends on the share of all epochs that has been done."""
        left = (self.minutes - self.taken) / (self.taken / trainer.epoch)
        trainer.num_epochs = trainer.epoch + max(0, round(left))


def build_config(kind: str, backbone: str, data: str, folder: Path, options: list[str]) -> CfgNode:
    """The shipped config of ucf101-mini, on one worker; it is evaluated at the end alone."""
    name = "distill" if kind == "distilled" else "pretrain"
    common = ["DATA.ROOT", data, "OUTPUT_DIR", str(folder), "DATA.NUM_WORKERS", "1", "EVAL.PERIOD", "1000000"]
    common += ["SOLVER.SCHEDULE", "one_cycle", "SOLVER.AMP", "bf16"]
    return load_config(zoo_root() / "configs" / name / f"pcl_vcp_{backbone}_ucf101mini.yaml", [*common, *options])


def train_for(minutes: float, kind: str, backbone: str, *, data: str, folder: Path, options: list[str]) -> dict:
    """A run of kdvideo with as many epochs as fit."""
    deadline = Deadline(minutes)
    options = [*options, "ZOO.DIR", str(folder / "zoo"), "ZOO.PUBLISH_AS", f"{backbone}_w16.{kind}"]
    result = train(build_config(kind, backbone, data, folder, options), extra_hooks=(deadline,))
    return {**result.metrics, "minutes": deadline.taken, "epochs": result.metrics["epoch"]}


def train_distilled(data: str, folder: Path, *, minutes: float) -> dict:
    """A teacher, then its student; the minutes and epochs of both."""
    teacher = train_for(minutes / 2, "alone", "r3d_10", data=data, folder=folder / "teacher", options=[])
    weights = next((folder / "teacher" / "zoo" / "weights").glob("*.safetensors"))
    options = ["TEACHER.WEIGHTS", str(weights)]
    student = train_for(minutes / 2, "distilled", "c3d", data=data, folder=folder / "student", options=options)
    return {**student, "minutes": teacher["minutes"] + student["minutes"], "teacher": teacher}


def print_table(output: Path) -> None:
    """A row a case."""
    print("| | minutes | epochs | pretext accuracy | retrieval@1, 2 clips | 10 clips |\n| --- " + "| --- " * 5 + "|")
    for case in CASES:
        one = simplejson.loads((output / f"{case}.json").read_text())
        epochs = f"{one['epochs']:.0f}"
        if "teacher" in one:
            epochs = f"{one['teacher']['epochs']} of its teacher, {epochs}"
        shares = [one[name] for name in ("pretext_accuracy", "retrieval_at_1", "retrieval_10clip_at_1")]
        print(f"| {case} | {one['minutes']:.1f} | {epochs} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")


def main() -> None:
    """Trains and evaluates one case, or prints all."""
    keep_freed_memory()  # as the command line does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="case", required=True)
    for case in CASES:
        command = commands.add_parser(case)
        command.add_argument("data")
        command.add_argument("output", type=Path)
        command.add_argument("--minutes", type=float, default=30)
    commands.add_parser("table").add_argument("output", type=Path)
    options = parser.parse_args()
    if options.case == "table":
        print_table(options.output)
        return
    folder = options.output / options.case
    folder.mkdir(parents=True, exist_ok=True)
    if options.case == "plain":
        result = train_plain(options.data, folder, minutes=options.minutes)
    elif options.case == "alone":
        result = train_for(options.minutes, "alone", "c3d", data=options.data, folder=folder, options=[])
    else:
        result = train_distilled(options.data, folder, minutes=options.minutes)
    (options.output / f"{options.case}.json").write_text(simplejson.dumps(result) + "\n")


if __name__ == "__main__":
    main()
