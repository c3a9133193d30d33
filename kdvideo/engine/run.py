"""What a run consists of, as data; `pretraining` and `supervised` put it together, `launch` goes through it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from fvcore.common.config import CfgNode

from kdvideo.data.labelled import TrainClips
from kdvideo.data.samples import TrainTuples
from kdvideo.data.videos import VideoList
from kdvideo.engine.build import (
    build_eval_config,
    build_model,
    build_views,
    configured_zoo,
    dataset_name,
    read_clip_spec,
)
from kdvideo.engine.trainer import Hook
from kdvideo.errors import naming
from kdvideo.evaluation.evaluate import evaluate
from kdvideo.evaluation.protocol import Lists, Protocol
from kdvideo.evaluation.result import Evaluation
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, ModelSpec, backbone_of
from kdvideo.tasks.task import Task
from kdvideo.zoo.load import load_pretrained

__all__ = [
    "FinalResult",
    "Measurements",
    "RunParts",
    "build_student",
    "evaluate_run",
    "final_result",
    "round_as_stored",
]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class FinalResult:
    """What a run measures at its end.

    Attributes:
        line: the last line of `metrics.jsonl`.
        protocol: how its metrics were measured, in words.
    """

    line: dict[str, Any]
    protocol: str


@dataclass(frozen=True)
class Measurements:
    """What a run measures, once its clips are decoded.

    Attributes:
        at_epoch: measures the current model for an epoch's line.
        at_end: measures the weights as ZOO.DTYPE will store them; takes the number of trained epochs.
        hooks: those that choose among epochs.
    """

    at_epoch: Callable[[], Mapping[str, float]]
    at_end: Callable[[int], FinalResult]
    hooks: tuple[Hook, ...] = ()


@dataclass(frozen=True)
class RunParts:
    """What a run consists of before its first step.

    Attributes:
        spec: what the model is built from.
        model: the student, with its initial weights.
        videos: those that are trained on.
        validation_metric: what a held-out part of the training list is looked at for.
        build_dataset: builds the samples that a task learns from.
        prepare_measurements: decodes what every evaluation will look at, for minutes on a large dataset.
        class_names: of a classifier's outputs, where the dataset names all of them.
    """

    spec: ModelSpec
    model: Model
    videos: VideoList
    validation_metric: str
    build_dataset: Callable[[Task], TrainTuples | TrainClips]
    prepare_measurements: Callable[[], Measurements]
    class_names: Sequence[str] = ()

    def describe_model(self) -> dict[str, Any]:
        """Returns what a file of weights says about its model: `model` and `classes`."""
        return {"model": self.spec.to_dict(), "classes": list(self.class_names)}


def build_student(
    cfg: CfgNode, spec: ModelSpec, *, device: torch.device, resumed: bool, class_names: Sequence[str] = ()
) -> Model:
    """Builds the model and loads MODEL.WEIGHTS, unless a checkpoint will give the weights.

    Args:
        cfg: the run's config.
        spec: what the model is built from.
        device: where it is trained.
        resumed: whether a checkpoint will give the weights.
        class_names: of a classifier's outputs; weights whose entry names other classes are refused.

    Raises:
        ValueError: the backbone cannot take such clips, or MODEL.WEIGHTS do not fit.
    """
    model = build_model(spec, device).to(memory_format=torch.channels_last_3d)
    if isinstance(model, ClassificationModel):
        model.class_names = class_names
    if cfg.MODEL.WEIGHTS and not resumed:
        _load_initial_weights(cfg, model, spec)
    return model


def evaluate_run(cfg: CfgNode, model: Model, lists: Sequence[Lists], protocols: Sequence[Protocol]) -> Evaluation:
    """Measures a model by `kdvideo.evaluation.evaluate` as EVAL and DATA say."""
    config = build_eval_config(cfg)
    return evaluate(
        model,
        lists,
        protocols,
        views=build_views(cfg),
        batch_size=config.batch_size,
        num_workers=config.num_workers,
    )


def final_result(
    cfg: CfgNode,
    evaluation: Evaluation,
    *,
    epoch: int,
    chosen_by: Mapping[str, float] | None = None,
    words: str = "",
) -> FinalResult:
    """Logs the final metrics, and puts the run's last line and its protocol together.

    Args:
        cfg: the run's config.
        evaluation: of the test list.
        epoch: whose weights were measured.
        chosen_by: the metric that chose the epoch; none for the last epoch.
        words: how the epoch was chosen.
    """
    metrics = {**(chosen_by or {}), **evaluation.metrics}
    logger.info("final  %s", "  ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
    protocol = replace(evaluation, dataset=dataset_name(cfg)).protocol
    parts = [protocol, "weights as stored", *filter(None, [words])]
    return FinalResult({"epoch": epoch, "final": True, **metrics}, "; ".join(parts))


def round_as_stored(cfg: CfgNode, model: Model) -> None:
    """Gives the weights the precision that ZOO.DTYPE will store."""
    if cfg.ZOO.DTYPE == "float16":
        model.half().float()


def _load_initial_weights(cfg: CfgNode, model: Model, spec: ModelSpec) -> None:
    """Fills the model with MODEL.WEIGHTS.

    Raises:
        ValueError: they were trained on other input than CLIP makes; says which keys to set.
    """
    configured, clip_spec = spec.clip_spec, read_clip_spec(cfg, "MODEL")
    with naming(clip_spec="MODEL.CLIP_SPEC"):
        load_pretrained(model, cfg.MODEL.WEIGHTS, zoo=configured_zoo(cfg), clip_spec=clip_spec)
    own = backbone_of(model).clip_spec
    if own.convention != configured.convention:
        raise ValueError(
            f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS} take {own.describe_convention()}, but CLIP makes "
            f"{configured.describe_convention()}: set CLIP.MODALITY {own.modality} CLIP.MEAN '{list(own.mean)}' "
            f"CLIP.STD '{list(own.std)}'; to train them on other input on purpose, write it out in MODEL.CLIP_SPEC"
        )
