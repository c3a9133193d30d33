"""The study's students of PCL teachers again, by logits and by one of the newer losses: how many epochs do they need?

    python benchmarks/distillation_pretext.py DATA/ucf101-mini OUT --loss dist [--beside-logits] [--at-once 2]
    python benchmarks/distillation_pretext.py DATA/ucf101-mini OUT --select dist token_relations ..

It is the study of model_zoo/configs/study/ucf101mini.yaml, clips of 8 x 32 x 32, with teachers of 40 epochs, three
seeds and nine pairs: "logits" is its setting `best`, "new" has the loss in place of the logits or, with
`--beside-logits`, beside them. `--select` compares losses on recording groups 22 and 24 of the training list, seed 0,
c3d by r3d_10 and r3d_10 by c3d, as ucf101mini_selection.yaml; the test list is not read.

Frames are decoded once. Each run has one thread and a folder in OUT from which it continues after an interruption;
finished runs are not repeated. Writes the study's report, and prints a JSON line for each setting with the ratio of
epochs, the null, and whether the aim is met: at most 0.5, the interval below the null's. About 40 core-minutes for
baselines and teachers and 75 for each setting, as the study took on a busy machine; `--select` 9, and 5 for each loss.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

STUDY = Path(__file__).resolve().parents[1] / "model_zoo" / "configs" / "study" / "ucf101mini.yaml"
LOGITS = "logit_distillation"
AIM = 0.5
PAIRS = [["c3d", "r3d_10"], ["r3d_10", "c3d"]]


def build_study(losses: Mapping[str, Sequence[str]], *, cache: Path, selecting: bool = False) -> dict[str, Any]:
    """Builds the study's file.

    Args:
        losses: the losses of each setting, all with weight 1.
        cache: the folder of the decoded frames.
        selecting: whether held-out groups, two pairs and one seed choose a loss.
    """
    study = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    best = study["SETTINGS"]["best"]
    study["BASE"] = str((STUDY.parent / study["BASE"]).resolve())
    study["CONFIG"]["DATA"].update(NUM_WORKERS=0, CACHE=str(cache))
    study["CONTROLS"] = False
    study["SETTINGS"] = {
        name: {
            "TEACHER_EPOCHS": best["TEACHER_EPOCHS"],
            "CONFIG": {"TEACHER": {**best["CONFIG"]["TEACHER"], "LOSSES": list(own), "LOSS_WEIGHTS": [1.0] * len(own)}},
            **({"PAIRS": PAIRS} if selecting else {}),
        }
        for name, own in losses.items()
    }
    if selecting:
        study |= {"ARCHITECTURES": ["c3d", "r3d_10"], "SEEDS": [0], "HELD_OUT_GROUPS": [22, 24]}
    return study


def describe(name: str, setting: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a setting's ratio of epochs beside the null, and whether the aim is met."""
    ratio, ends, null = setting["ratio_mean"], setting["ratio_ci"], setting["null_ratio_ci"]
    return {
        "setting": name,
        "ratio": [round(value, 3) for value in (ratio, *ends)],
        "null": [round(value, 3) for value in (setting["null_ratio_mean"], *null)],
        "pairs": setting["pairs"],
        "seeds": setting["seeds"],
        "met": ratio <= AIM and ends[1] < null[0],
    }


def settings_of(options: argparse.Namespace) -> dict[str, list[str]]:
    """Returns the losses of each setting."""
    if options.select:
        return {"logits": [LOGITS], **{name.replace("_", "-"): name.split("+") for name in options.select}}
    return {"logits": [LOGITS], "new": [*([LOGITS] if options.beside_logits else []), options.loss]}


def kdvideo(*arguments: str, home: Path) -> None:
    """Runs a command of `kdvideo study`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KDVIDEO_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "kdvideo.cli", "study", *arguments], check=True, env=environment)


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--loss", default="dist", help="the newer loss")
    parser.add_argument("--beside-logits", action="store_true", help="keep the logits' loss beside it")
    parser.add_argument("--select", nargs="+", metavar="LOSS[+LOSS]", help="compare these on held-out groups")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--at-once", type=int, default=2, help="processes of one thread each")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    out = options.out.resolve()
    folder = out / ("selection" if options.select else "study")
    study = build_study(settings_of(options), cache=out / "frames", selecting=bool(options.select))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    common = (str(file), "--output", str(folder))
    seeds = [] if options.select else ["--seeds", options.seeds]
    at_once = ("--data", str(options.data.resolve()), "--at-once", str(options.at_once))
    kdvideo("run", *common, *at_once, *seeds, home=out / "home")
    kdvideo("report", *common, *seeds, home=out / "home")
    if options.select:  # one seed has no null: the report's table of pairs says what there is
        print((folder / "report" / "study.md").read_text(encoding="utf-8"))
        return
    for name, setting in json.loads((folder / "report" / "summary.json").read_text(encoding="utf-8")).items():
        print(json.dumps(describe(name, setting)), flush=True)


if __name__ == "__main__":
    main()
