"""What one tree of kdvideo computes, as JSON: one side of tests/golden/compare.py, with that tree on the path.

    python side.py FOLDER                      writes FOLDER/found.json
    python side.py FOLDER --metrics VIDEOS     measures the shipped models as well, on their videos

It uses the command line and public names, so that it runs with any version.
"""

import argparse
import contextlib
import functools
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

import kdvideo
import kdvideo.tasks  # earlier versions did not fill their registries by themselves
from kdvideo.cli import main
from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101
from kdvideo.registry import TASKS

VIDEOS = SyntheticConfig(train_groups=2, test_groups=1, clips_per_group=2, min_frames=64, max_frames=66)
COMMON = (
    "MODEL.BACKBONE c3d MODEL.WIDTH 4 CLIP.LENGTH 8 CLIP.SIZE 32 DATA.SHORT_SIDE 36 PRETEXT.INTERVAL 2 "
    "DATA.NUM_WORKERS 1 EVAL.TUPLES_PER_VIDEO 3 EVAL.FINAL_CLIPS_PER_VIDEO 3 EVAL.PERIOD 3"
)
BATCHES = "SOLVER.BATCH_SIZE 8 SOLVER.EPOCHS 1"  # three steps, of 24 videos
STEPS = "SOLVER.BATCH_SIZE 6 SOLVER.EPOCHS 5 SOLVER.CLIP_GRADIENTS 2.0"  # twenty steps
TAUGHT = f"{STEPS} TASK.NAME distill TEACHER.WEIGHTS r3d_10_w16.pcl-vcp_ucf101mini-s1"
RUNS = {
    **{
        f"{name} {modality}": f"{BATCHES} PRETEXT.NAME {name} CLIP.MODALITY {modality}"
        for name in ("vcp", "vcop", "rotnet")
        for modality in ("rgb", "residual")
    },
    **{f"pcl {name}": f"{STEPS} CONTRAST.NAME {name}" for name in ("bank_nce", "batch_nce", "queue_nce")},
    "pcl bf16 in parts": f"{STEPS} MODEL.BACKBONE r2plus1d_10 SOLVER.AMP bf16 EVAL.AMP bf16 SOLVER.ACCUMULATE 2",
    "distill logit": TAUGHT,
    "distill embedding": f"{TAUGHT} TEACHER.LOSSES ['embedding_distillation']",
    "distill similarity": f"{TAUGHT} TEACHER.LOSSES ['similarity_distillation']",
    "distill own frames": f"{TAUGHT} TEACHER.SAMPLING own",
    "distill replay": f"{TAUGHT} TEACHER.REPLAY True",
    "supervised": f"{STEPS} TASK.NAME supervised SOLVER.SCHEDULE one_cycle",
    "supervised plateau": f"{STEPS} TASK.NAME supervised SOLVER.SCHEDULE plateau DATA.VALIDATION_SHARE 0.3",
}
# A checkpoint of it holds everything there is: banks, a queue of anchors, an adapter, momentum.
RESUMED = f"{TAUGHT} TEACHER.LOSSES ['embedding_distillation','similarity_distillation'] TEACHER.LOSS_WEIGHTS [1.0,0.5]"


def hash_tensor(tensor: torch.Tensor) -> str:
    """Returns shape, type and SHA-256 of a tensor's values."""
    values = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(values.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
    return f"{tuple(values.shape)} {values.dtype} {digest}"


def recorded(forward: Callable, write: Callable[[dict[str, Any]], None]) -> Callable:
    """Wraps a task's `forward`: `write` gets the hashes of each batch's tensors, and the step's numbers.

    A teacher's replayed answers are left out. They have not always been in the batch; the losses show what they are.
    """

    @functools.wraps(forward)
    def record(task: Any, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        data = {key: value for key, value in sorted(batch.items()) if not key.startswith(("answer_", "is_answered"))}
        hashes = {key: hash_tensor(value) for key, value in data.items() if isinstance(value, torch.Tensor)}
        scalars = forward(task, batch)
        write({"batch": hashes, "scalars": {name: value.item() for name, value in sorted(scalars.items())}})
        return scalars

    return record


def train_arguments(settings: str, *, data: Path, out: Path) -> list[str]:
    """Returns the arguments of `kdvideo` that train and publish."""
    places = ["DATA.ROOT", str(data), "OUTPUT_DIR", str(out), "ZOO.DIR", str(out / "zoo")]
    return ["train", *COMMON.split(), *settings.split(), *places, "ZOO.PUBLISH_AS", "c3d_w4.golden"]


def read_run(out: Path) -> dict[str, Any]:
    """Returns a run's lines without their seconds, its final weights and its entry."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    (weights,) = (out / "zoo").glob("weights/*.safetensors")
    (entry,) = (out / "zoo").glob("entries/*.json")
    facts = json.loads(entry.read_text())
    with safe_open(weights, framework="pt") as file:
        return {
            "metrics.jsonl": [{key: value for key, value in line.items() if key != "seconds"} for line in lines],
            "weights": {key: hash_tensor(file.get_tensor(key)) for key in sorted(file.keys())},
            "entry": {key: facts.get(key) for key in ("metrics", "model", "params", "macs", "teacher")},
        }


def _runs(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    steps: list[dict[str, Any]] = []
    for task in {TASKS.get(name) for name in ("pcl", "distill", "supervised")}:
        task.forward = recorded(task.forward, steps.append)
    for name, settings in RUNS.items():
        steps.clear()
        out = folder / name.replace(" ", "_")
        if main(train_arguments(settings, data=folder / "videos", out=out)) != 0:
            raise SystemExit(f"{name} failed")
        found[name] = {"steps": list(steps), **read_run(out)}
    return found


def _printed(*arguments: str) -> list[str]:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if (code := main(list(arguments))) != 0:
            raise SystemExit(f"kdvideo {' '.join(arguments)}: exit code {code}")
    return printed.getvalue().splitlines()


def _shipped(names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        lines = [line for line in _printed("zoo", "show", name) if not line.startswith(("zoo: ", "path: "))]
        tensors = kdvideo.create_pcl_model(name, pretrained=True).state_dict()
        weights = {key: hash_tensor(value) for key, value in tensors.items()}
        found[f"shipped {name}"] = {"entry": lines, "weights": weights}
    return found


def _find(folder: Path, videos: Path | None) -> dict[str, Any]:
    torch.set_num_threads(1)
    write_synthetic_ucf101(folder / "videos", VIDEOS)
    files = sorted((folder / "videos").rglob("*.*"))
    found: dict[str, Any] = {"videos": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}}
    listed = [{**state, "zoo": ""} for state in json.loads("\n".join(_printed("zoo", "list", "--json")))]
    names = [state["name"] for state in listed if state.get("weights") == "shipped"]
    found |= {"kdvideo zoo list --json": listed, **_shipped(names), **_runs(folder)}
    for name in names if videos else ():
        found[f"metrics {name}"] = _printed("zoo", "verify", "--metrics", name, "--data", str(videos))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--metrics", type=Path, metavar="VIDEOS")
    options = parser.parse_args()
    (options.folder / "found.json").write_text(json.dumps(_find(options.folder, options.metrics), indent=1))
