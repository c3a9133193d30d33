"""The runs of the comparison: students alone, with an image teacher, and by an image teacher alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ARCHITECTURES", "BEST_LOSSES", "HELD_OUT", "IMAGE_TEACHER", "SEEDS", "Run", "main_runs", "selection_runs"]

ARCHITECTURES = ("r3d_10", "r2plus1d_10", "c3d")
SEEDS = (0, 1, 2)
EPOCHS = 30
HELD_OUT = (22, 24)  # recording groups of the training list that stand in for the test list when a setting is chosen
IMAGE_TEACHER = "efficientnet_lite0.timm_imagenet"
VIEWS = 6

Config = Mapping[str, Any]

# The published setting of the studies with these networks (model_zoo/configs/pretrain).
PCL: Config = {
    "TASK": {"NAME": "pcl"},
    "SOLVER": {"SCHEDULE": "one_cycle"},
}
ALONE: Config = {
    "TASK": {"NAME": "distill"},
    "PRETEXT": {"NAME": "none", "TUPLE_LEN": 1},
    "CONTRAST": {"NAME": "none"},
    "SOLVER": {"SCHEDULE": "one_cycle", "OPTIMIZER": "adamw", "BASE_LR": 2e-3, "CLIP_GRADIENTS": 0.0},
}
BEST_LOSSES = ("embedding_distillation", "queue_distillation")


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: the name of its folder.
        architecture: the student's.
        seed: the run's seed.
        config: nested config keys, besides those of all runs.
        modality: "rgb" or "residual".
        image_teacher: whether the image teacher teaches by its views.
        held_out: whether held-out groups of the training list replace the test list.
    """

    name: str
    architecture: str
    seed: int
    config: Config = field(default_factory=dict)
    modality: str = "rgb"
    image_teacher: bool = False
    held_out: bool = False


def merged(*configs: Config) -> dict[str, Any]:
    """Merges nested config keys. Later ones win."""
    result: dict[str, dict[str, Any]] = {}
    for config in configs:
        for section, values in config.items():
            result[section] = {**result.get(section, {}), **values}
    return result


def epochs(number: int) -> Config:
    """Returns the key of a number of epochs."""
    return {"SOLVER": {"EPOCHS": number}}


def taught_by(*losses: str, weights: tuple[float, ...] = ()) -> Config:
    """Returns the keys of an image teacher's losses."""
    return {"TEACHER": {"LOSSES": list(losses), "LOSS_WEIGHTS": list(weights or [1.0] * len(losses))}}


def selection_runs() -> Iterator[Run]:
    """Lists the runs by which losses and settings are chosen: r3d_10, one seed, on held-out training groups."""
    colour = {"AUGMENT": {"COLOR_PROB": 0.8, "GRAYSCALE_PROB": 0.2, "BLUR_PROB": 0.5}}
    variants: dict[str, Config] = {
        "pcl-rgb": PCL,
        "pcl-rgb-colour": merged(PCL, colour),
        "embedding": merged(ALONE, taught_by("embedding_distillation")),
        "queue": merged(ALONE, taught_by("queue_distillation")),
        "similarity": merged(ALONE, taught_by("similarity_distillation")),
        "standardised-embedding": merged(ALONE, taught_by("standardised_embedding")),
        "standardised-mse": merged(ALONE, taught_by("standardised_mse")),
        "queue+embedding": merged(ALONE, taught_by("queue_distillation", "embedding_distillation")),
    }
    best = "standardised_embedding"
    for rate in (1e-3, 4e-3):
        keys = merged(ALONE, taught_by(best), {"SOLVER": {"BASE_LR": rate}})
        variants[f"standardised-embedding-lr{rate:g}"] = keys
    variants["standardised-embedding-colour"] = merged(ALONE, taught_by(best), colour)
    variants["standardised-embedding-batch8"] = merged(ALONE, taught_by(best), {"SOLVER": {"BATCH_SIZE": 8}})
    for name, config in variants.items():
        yield Run(
            f"selection.{name}",
            "r3d_10",
            0,
            merged(config, epochs(EPOCHS)),
            image_teacher="TEACHER" in config,
            held_out=True,
        )


def main_runs() -> Iterator[Run]:
    """Lists the runs of the table, the most informative first."""
    for seed in SEEDS:
        for one in ARCHITECTURES:
            for modality in ("residual", "rgb"):
                yield Run(f"pcl-{modality}.{one}.seed{seed}", one, seed, merged(PCL, epochs(EPOCHS)), modality)
            for loss in BEST_LOSSES:
                config = merged(ALONE, taught_by(loss), epochs(EPOCHS))
                yield Run(f"{loss}.{one}.seed{seed}", one, seed, config, image_teacher=True)
            config = merged(PCL, {"TASK": {"NAME": "distill"}}, taught_by(BEST_LOSSES[0]), epochs(EPOCHS))
            yield Run(f"pcl+image.{one}.seed{seed}", one, seed, config, image_teacher=True)
    yield Run("pcl-residual-60.r3d_10.seed0", "r3d_10", 0, merged(PCL, epochs(2 * EPOCHS)), "residual")
