"""What the tests of the shipped configs share: finding them, and one optimizer step of one."""

from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from kdvideo.config import load_config, validate_config
from kdvideo.engine.build import build_model_spec
from kdvideo.engine.optim import build_optimizer, build_schedule
from kdvideo.models.spec import backbone_of
from kdvideo.paths import zoo_root
from kdvideo.registry import TASKS

CONFIGS = zoo_root() / "configs"
NUM_CLASSES = 101


def recipes() -> list[str]:
    """Every config that can be launched, relative to the folder of configs."""
    found = (path.relative_to(CONFIGS) for path in CONFIGS.glob("*/*.yaml"))
    return sorted(str(path) for path in found if path.parts[0] not in ("base", "study") and path.stem != "base")


def is_full_size(recipe: str) -> bool:
    """Those of the real datasets, 16 x 112 x 112 at width 64."""
    return recipe.endswith(("_ucf101.yaml", "_hmdb51.yaml"))


def load(recipe: str) -> CfgNode:
    """The config as a launch would have it; those of a student are given a teacher where they name none."""
    cfg = load_config(CONFIGS / recipe, ["DATA.ROOT", "/data"])
    if cfg.TASK.NAME == "distill" and not cfg.TEACHER.WEIGHTS:
        cfg.TEACHER.WEIGHTS = "kdvideo://r3d_10_w16.pcl-vcp_ucf101mini-s1"
    validate_config(cfg)
    return cfg


def take_step(cfg: CfgNode, device: str, *, batch_size: int) -> tuple[float | None, torch.nn.Module]:
    """One forward, backward and optimizer step on random clips; the loss (None on "meta") and the student."""
    task_class = TASKS.get(cfg.TASK.NAME)
    model = build_model_spec(cfg, num_classes=NUM_CLASSES if task_class.needs.classes else None).build()
    num_videos = batch_size + 8
    task = task_class.from_config(cfg, model=model, num_videos=num_videos, teacher=_teacher(cfg)).to(device).train()
    optimizer = build_optimizer(cfg, task.trainable, backbone=backbone_of(model))
    build_schedule(cfg, optimizer)
    clip = cfg.CLIP
    num_clips = 1 if task_class.needs.classes else cfg.PRETEXT.TUPLE_LEN
    shape = (batch_size, num_clips, 3, clip.LENGTH, clip.SIZE, clip.SIZE)
    index = torch.arange(batch_size, device=device)
    negatives = torch.arange(task.num_negatives, device=device).expand(batch_size, -1) % 8 + batch_size
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    labels = {"pretext_label": index % 4, "class_id": index}
    outputs = task({"clips": clips, "index": index, "negatives": negatives, **labels})
    outputs["loss"].backward()
    optimizer.step()
    return None if device == "meta" else outputs["loss"].item(), task.student


def _teacher(cfg: CfgNode) -> torch.nn.Module | None:
    if not cfg.TEACHER.WEIGHTS:
        return None
    name = cfg.TEACHER.WEIGHTS.removeprefix("kdvideo://")
    dataset = "ucf101mini" if "ucf101mini" in name else "ucf101"
    backbone = name.split(".")[0].removesuffix("_w16")
    return build_model_spec(load(f"pretrain/pcl_vcp_{backbone}_{dataset}.yaml")).build()


def first_line_command(recipe: str) -> str:
    """The command that a config opens with."""
    return (CONFIGS / recipe).read_text().splitlines()[0].removeprefix("# ")


def lines_of(path: Path) -> int:
    """How long a file is."""
    return len(path.read_text().splitlines())
