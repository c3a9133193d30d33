"""Runs that learn without labels: PCL, PCL with a teacher, and from a teacher alone."""

import logging
from collections.abc import Mapping

import torch
from fvcore.common.config import CfgNode

from kdvideo.data.samples import TrainTuples
from kdvideo.engine.build import (
    build_eval_config,
    build_model_spec,
    build_tuple_config,
    load_lists,
    split_training_list,
)
from kdvideo.engine.evaluated_copy import EvaluatedCopy
from kdvideo.engine.precision import AMP_DTYPES
from kdvideo.engine.run import (
    FinalResult,
    Measurements,
    RunParts,
    build_student,
    evaluate_run,
    final_result,
    not_measured,
    round_as_stored,
)
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.tuples import build_tuples, long_enough
from kdvideo.evaluation.choice import choose_protocols
from kdvideo.evaluation.pretext import PretextProtocol
from kdvideo.evaluation.protocol import Classes, Lists
from kdvideo.evaluation.retrieval import Retrieval
from kdvideo.models.spec import Model, ModelSpec
from kdvideo.tasks.task import Task

__all__ = ["pretraining"]

logger = logging.getLogger("kdvideo")


def pretraining(cfg: CfgNode, folder: RunFolder, *, device: torch.device, resumed: bool = False) -> RunParts:
    """Builds the parts of a run on tuples.

    It measures pretext accuracy, if there is a pretext, and retrieval on the test list. The training list is the
    gallery.

    Args:
        cfg: a valid config.
        folder: the run's folder.
        device: the device on which the model is trained.
        resumed: whether a checkpoint will provide the weights. MODEL.WEIGHTS is not loaded then.
    """
    spec = build_model_spec(cfg)
    model = build_student(cfg, spec, device=device, resumed=resumed)
    tuples, lists = build_tuple_config(cfg), load_lists(cfg)
    chosen, _ = split_training_list(cfg, lists.train)
    videos = long_enough(chosen, tuples.layout.min_frames)

    def build_dataset(task: Task) -> TrainTuples:
        return build_tuples(cfg, task, videos, tuples)

    def prepare_measurements() -> Measurements:
        pretext = PretextProtocol(tuples, config=build_eval_config(cfg), directory=folder.path)
        if (why := pretext.obstacle(model, Classes.of([lists]))) is not None:
            if cfg.SOLVER.SCHEDULE == "plateau":
                raise ValueError(
                    f"SOLVER.SCHEDULE plateau lowers the rate by what is measured, and nothing is: there is no "
                    f"pretext, and {why}; use another schedule, e.g. cosine"
                )
            logger.warning("nothing is measured: there is no pretext, and %s", why)
            return Measurements(dict, not_measured)
        pretext.prepare(lists)
        return _measurements(cfg, spec, model, lists=lists, pretext=pretext)

    return RunParts(
        spec=spec,
        model=model,
        videos=videos,
        validation_metric=f"validation_{'pretext_accuracy' if tuples.pretext.num_classes else 'retrieval_at_1'}",
        build_dataset=build_dataset,
        prepare_measurements=prepare_measurements,
        listed=lists.train,
    )


def _measurements(
    cfg: CfgNode, spec: ModelSpec, model: Model, *, lists: Lists, pretext: PretextProtocol
) -> Measurements:
    copy = EvaluatedCopy(spec, model, AMP_DTYPES[cfg.EVAL.AMP])

    def at_epoch() -> Mapping[str, float]:
        # Measured on the test list, and as `validation_*` on the held-out videos.
        return evaluate_run(cfg, copy.current(), [lists], [pretext]).metrics

    def at_end(epoch: int) -> FinalResult:
        round_as_stored(cfg, model)
        protocols = choose_protocols([pretext, Retrieval()], asked=(), model=model, classes=Classes.of([lists]))
        return final_result(cfg, evaluate_run(cfg, model, [lists], protocols), epoch=epoch)

    return Measurements(at_epoch, at_end)
