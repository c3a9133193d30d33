"""The parts of a run as data. `pretraining` and `supervised` build them, and `launch` executes the run."""

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
from kdvideo.engine.memory_format import to_channels_last
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
    "not_measured",
    "round_as_stored",
]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class FinalResult:
    """The final measurements of a run.

    Attributes:
        line: the last line of `metrics.jsonl`.
        protocol: how the metrics were measured, in words.
    """

    line: dict[str, Any]
    protocol: str


@dataclass(frozen=True)
class Measurements:
    """The measurements of a run, once their clips are decoded.

    Attributes:
        at_epoch: measures the current model for an epoch's metrics line.
        at_end: measures the weights as ZOO.DTYPE will store them. It takes the number of trained epochs.
        hooks: the hooks that choose the best epoch.
    """

    at_epoch: Callable[[], Mapping[str, float]]
    at_end: Callable[[int], FinalResult]
    hooks: tuple[Hook, ...] = ()


@dataclass(frozen=True)
class RunParts:
    """The parts of a run before its first step.

    Attributes:
        spec: how the model is built.
        model: the student, with its initial weights.
        videos: the training videos.
        validation_metric: the metric that is measured on the held-out part of the training list.
        build_dataset: builds the task's training samples.
        prepare_measurements: decodes the clips of all evaluations, which takes minutes on a large dataset.
        listed: the whole training list, of which `videos` are a part. A teacher's views are kept for all of it.
        class_names: names of a classifier's outputs, if the dataset names all of them.
    """

    spec: ModelSpec
    model: Model
    videos: VideoList
    validation_metric: str
    build_dataset: Callable[[Task], TrainTuples | TrainClips]
    prepare_measurements: Callable[[], Measurements]
    listed: VideoList | None = None
    class_names: Sequence[str] = ()

    def describe_model(self) -> dict[str, Any]:
        """Returns the description of the model in a weights file: `model` and `classes`."""
        return {"model": self.spec.to_dict(), "classes": list(self.class_names)}


def build_student(
    cfg: CfgNode, spec: ModelSpec, *, device: torch.device, resumed: bool, class_names: Sequence[str] = ()
) -> Model:
    """Builds the model. It loads MODEL.WEIGHTS unless a checkpoint will provide the weights.

    Args:
        cfg: the run's config.
        spec: how the model is built.
        device: the device on which it is trained.
        resumed: whether a checkpoint will provide the weights.
        class_names: names of a classifier's outputs. Weights whose entry names other classes are refused.

    Raises:
        ValueError: the backbone cannot take such clips, or MODEL.WEIGHTS do not fit.
    """
    model = to_channels_last(build_model(spec, device))
    if isinstance(model, ClassificationModel):
        model.class_names = class_names
    if cfg.MODEL.WEIGHTS and not resumed:
        _load_initial_weights(cfg, model, spec)
    return model


def evaluate_run(cfg: CfgNode, model: Model, lists: Sequence[Lists], protocols: Sequence[Protocol]) -> Evaluation:
    """Measures a model by `kdvideo.evaluation.evaluate` with the settings in EVAL and DATA."""
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
    """Logs the final metrics, and combines the run's last line with its protocol.

    Args:
        cfg: the run's config.
        evaluation: the evaluation on the test list.
        epoch: the epoch whose weights were measured.
        chosen_by: the metric that chose the epoch. Empty for the last epoch.
        words: how the epoch was chosen.
    """
    metrics = {**(chosen_by or {}), **evaluation.metrics}
    logger.info("final  %s", "  ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
    protocol = replace(evaluation, dataset=dataset_name(cfg)).protocol
    parts = [protocol, "weights as stored", *filter(None, [words])]
    return FinalResult({"epoch": epoch, "final": True, **metrics}, "; ".join(parts))


def not_measured(epoch: int) -> FinalResult:
    """Returns the last line of a run whose videos have no classes to measure anything by."""
    return FinalResult({"epoch": epoch, "final": True}, "not measured: the videos have no classes")


def round_as_stored(cfg: CfgNode, model: Model) -> None:
    """Rounds the weights to the precision in which ZOO.DTYPE will store them."""
    if cfg.ZOO.DTYPE == "float16":
        model.half().float()


def _load_initial_weights(cfg: CfgNode, model: Model, spec: ModelSpec) -> None:
    """Loads MODEL.WEIGHTS into the model.

    Raises:
        ValueError: they were trained on other input than CLIP describes. The message says which keys to set.
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
