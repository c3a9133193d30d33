"""Compares two rules that choose a finetuned epoch: lowest held-out cross-entropy, and highest held-out accuracy.

    OMP_NUM_THREADS=1 python benchmarks/finetune_choice.py UCF101_MINI UCF101_EIGHT --out OUT --at-once 2

A third of each class's recording groups of the training list judges, drawn by the seed. Finetuning does not see it.
From one run, both rules choose an epoch by the same held-out videos (DATA.VALIDATION_SHARE), and the judges measure
every epoch. Each run has a folder in OUT. A second start continues begun runs and repeats no finished one. It prints
a JSON line per run and per comparison.

`--test` measures the chosen epochs of all runs on the test list, once, when all runs are finished.
"""

import argparse
import json
import operator
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from json_lines import read_lines, write_line

from kdvideo.config import load_config
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.subsets import hold_out
from kdvideo.data.videos import VideoList
from kdvideo.engine.build import build_model_spec, load_videos
from kdvideo.engine.checkpoint import best_weights, read_state
from kdvideo.engine.hooks import KeepBest
from kdvideo.engine.launch import train
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.trainer import Hook, Trainer
from kdvideo.evaluation.classify import HeldOut
from kdvideo.evaluation.clip_outputs import Views
from kdvideo.paths import zoo_root
from kdvideo.study.estimator import interval

NEW, OLD, LAST = "lowest_cross_entropy", "highest_accuracy", "last"
JUDGES, CLIPS = 1 / 3, 4
SHARES, SEEDS = (1.0, 0.25), (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Case:
    """One run: a dataset, a fraction of its training list, and a seed."""

    data: Path
    share: float
    seed: int

    @property
    def name(self) -> str:
        """Returns the name of the run's folder."""
        return f"{self.data.name}-{self.share * 100:g}-s{self.seed}"


class Judge(Hook):
    """Measures every epoch on videos that neither training nor choice has seen, into `judged.jsonl`."""

    def __init__(self, cfg: CfgNode, folder: Path) -> None:
        self.cfg, self.folder = cfg, folder
        self.measure: HeldOut | None = None

    def after_epoch(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Writes the epoch's accuracy and cross-entropy. The clips are decoded once."""
        model = trainer.task.student
        if self.measure is None:
            self.measure = held_out_measure(self.cfg, load_videos(self.cfg, "test"), model, self.folder)
        write_line(self.folder / "judged.jsonl", {"epoch": trainer.epoch, **self.measure(model, trainer.device)})


def held_out_measure(cfg: CfgNode, videos: VideoList, model: Any, folder: Path) -> HeldOut:
    """Returns what measures a classifier on videos."""
    views = Views(CLIPS, cfg.DATA.SHORT_SIDE)
    return HeldOut(videos, model, views=views, batch_size=0, num_workers=0, directory=folder)


def write_lists(records: Sequence[VideoRecord], original: Path, folder: Path, *, seed: int) -> None:
    """Writes UCF101's lists: of the training list's groups, a third as the test list."""
    folder.mkdir(parents=True, exist_ok=True)
    kept, judges = hold_out(records, JUDGES, seed=seed)
    (folder / "classInd.txt").write_text((original / "classInd.txt").read_text())
    (folder / "trainlist01.txt").write_text("".join(f"{one.name} {one.class_id + 1}\n" for one in kept))
    (folder / "testlist01.txt").write_text("".join(f"{one.name}\n" for one in judges))


def case_config(case: Case, out: Path, overrides: Sequence[str]) -> CfgNode:
    """Returns the config of a case: finetune/r3d_10_ucf101mini.yaml on its lists."""
    file = zoo_root() / "configs" / "finetune" / "r3d_10_ucf101mini.yaml"
    run = out / case.name
    values = {
        "DATA.ROOT": case.data,
        "DATA.FRACTION": case.share,
        "DATA.NUM_WORKERS": 0,
        "DATA.CACHE": out / "frames",
        "SEED": case.seed,
        "SOLVER.BATCH_SIZE": 8,
        "EVAL.FINAL_CLIPS_PER_VIDEO": CLIPS,
        "OUTPUT_DIR": run,
    }
    words = [word for key, value in values.items() for word in (key, str(value))]
    cfg = load_config(file, [*words, *overrides])
    lists = run / "lists"
    if not (lists / "testlist01.txt").exists():
        write_lists(load_videos(cfg, "train").records, case.data / "ucfTrainTestlist", lists, seed=case.seed)
    cfg.DATA.LIST_DIR = str(lists)
    return cfg


def run_case(case: Case, out: Path, overrides: Sequence[str]) -> None:
    """Trains a case, or continues it. A finished one is left alone."""
    torch.set_num_threads(1)
    folder = RunFolder(out / case.name)
    if folder.is_finished:
        return
    cfg = case_config(case, out, overrides)
    keep = KeepBest(folder.path / "highest.pt", HeldOut.accuracy, extra={}, replaces=operator.gt)
    hooks = (keep, Judge(cfg, folder.path))
    train(cfg, resume=bool(folder.checkpoints()), extra_hooks=hooks)


def choose(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Returns the epoch that each rule chooses from the held-out values of all epochs."""
    by_loss = min(lines, key=lambda line: (line[HeldOut.cross_entropy], -line["epoch"]))
    by_accuracy = max(lines, key=lambda line: (line[HeldOut.accuracy], -line["epoch"]))
    return {NEW: by_loss["epoch"], OLD: by_accuracy["epoch"], LAST: lines[-1]["epoch"]}


def judge_case(case: Case, out: Path) -> dict[str, Any]:
    """Returns what the judges say of each rule's epoch of a finished run."""
    folder = RunFolder(out / case.name)
    epochs = choose(folder.epochs())
    judged = {line["epoch"]: line for line in read_lines(folder.path / "judged.jsonl")}  # a repeated epoch's last line
    accuracy = {rule: judged[epoch][HeldOut.accuracy] for rule, epoch in epochs.items()}
    return {"data": case.data.name, "share": case.share, "seed": case.seed, "epochs": epochs, "accuracy": accuracy}


def compare(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the paired differences in accuracy of each dataset and share, and of each share over all datasets."""
    groups: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for one in results:
        for data in (one["data"], "all"):
            groups.setdefault((data, one["share"]), []).append(one["accuracy"])
    lines = []
    for (data, share), values in groups.items():
        line: dict[str, Any] = {"data": data, "share": share, "runs": len(values)}
        line["mean"] = {rule: round(statistics.fmean(one[rule] for one in values), 4) for rule in values[0]}
        for rule in (NEW, LAST):
            gains = [one[rule] - one[OLD] for one in values if rule in one]
            if len(gains) > 1:
                line[f"{rule} minus {OLD}"] = [round(x, 4) for x in (statistics.fmean(gains), *interval(gains))]
        lines.append(line)
    return lines


def test_case(case: Case, out: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the accuracy of both rules' weights on the dataset's own test list."""
    torch.set_num_threads(1)
    cfg = case_config(case, out, overrides)
    cfg.DATA.LIST_DIR = str(case.data / "ucfTrainTestlist")
    videos, folder = load_videos(cfg, "test"), RunFolder(out / case.name)
    model = build_model_spec(cfg, num_classes=len({one.class_id for one in videos.records})).build().eval()
    measure = held_out_measure(cfg, videos, model, folder.path)
    accuracy = {}
    for rule, path in ((NEW, folder.best), (OLD, folder.path / "highest.pt")):
        model.load_state_dict(best_weights(read_state(path)))
        accuracy[rule] = measure(model, torch.device("cpu"))[HeldOut.accuracy]
    return {"data": case.data.name, "share": case.share, "seed": case.seed, "list": "test", "accuracy": accuracy}


def main() -> None:
    """Runs all cases, and prints what the judges say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path, help="folders as UCF101's, with ucfTrainTestlist")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES)
    parser.add_argument("--at-once", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--weights", default="r3d_10_w16.pcl-vcp_ucf101mini-s1", help='"" trains from scratch')
    parser.add_argument("--test", action="store_true", help="measure the test list, after all runs")
    parser.add_argument("--set", nargs="*", default=(), metavar="KEY VALUE", help="config keys")
    options = parser.parse_args()
    overrides = ["MODEL.WEIGHTS", options.weights, *options.set]
    out = options.out.resolve()
    choices = product(options.seeds, options.data, options.shares)
    cases = [Case(data.resolve(), share, seed) for seed, data, share in choices]
    with ProcessPoolExecutor(options.at_once, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(run_case, case, out, overrides) for case in cases]:
            future.result()
        results = [judge_case(case, out) for case in cases]
        if options.test:
            results = [one.result() for one in [pool.submit(test_case, case, out, overrides) for case in cases]]
    for line in [*results, *compare(results)]:
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
