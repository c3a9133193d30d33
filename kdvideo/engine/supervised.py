"""Runs that learn classes: finetuning, training from scratch, and learning them from a teacher."""

import logging
from collections.abc import Mapping

import torch
from fvcore.common.config import CfgNode

from kdvideo.data.labelled import TrainClips
from kdvideo.data.samples import TrainTuples
from kdvideo.data.videos import VideoList
from kdvideo.engine.build import (
    build_augment_config,
    build_clip_spec,
    build_eval_config,
    build_model_spec,
    build_tuple_config,
    load_lists,
    split_training_list,
)
from kdvideo.engine.checkpoint import best_weights
from kdvideo.engine.classes import count_classes, labelled, warn_of_test_videos, with_unlabelled
from kdvideo.engine.hooks import KeepBest
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
from kdvideo.evaluation.classify import Classify, HeldOut
from kdvideo.evaluation.clip_outputs import Views
from kdvideo.evaluation.protocol import Classes, Lists
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model
from kdvideo.needs import needs_of
from kdvideo.tasks.task import Task

__all__ = ["supervised"]

logger = logging.getLogger("kdvideo")

_FEW = 50  # held-out videos: with fewer, one video is more than 2 % of the accuracy


def supervised(
    cfg: CfgNode, folder: RunFolder, *, device: torch.device, resumed: bool = False, teacher: Model | None = None
) -> RunParts:
    """Builds the parts of a run on labelled clips, and on others if a teacher knows their classes.

    It evaluates on held-out training videos during training, and on the test list once. The epoch with the lowest
    cross-entropy on the held-out videos is measured and published, the later one of equals. Without held-out videos, it
    is the last epoch.

    Args:
        cfg: a valid config.
        folder: the run's folder.
        device: the device on which the model is trained.
        resumed: whether a checkpoint will provide the weights. MODEL.WEIGHTS is not loaded then.
        teacher: the teacher's network. Without labels, its classes are learnt.
    """
    lists = load_lists(cfg)
    num_classes, class_names = count_classes(cfg, lists, teacher)
    spec = build_model_spec(cfg, num_classes=num_classes)
    model = build_student(cfg, spec, device=device, resumed=resumed, class_names=class_names)
    if not isinstance(model, ClassificationModel):
        raise TypeError(f"a spec with {num_classes} classes has built a {type(model).__name__}, no classifier")
    _check_num_classes(cfg, model, num_classes)
    taught = teacher is not None and needs_of(cfg.TASK.NAME).losses
    listed = with_unlabelled(cfg, lists.train)
    warn_of_test_videos(listed.records[len(lists.train) :], lists.test.records)
    videos, held_out = _split_list(cfg, listed, num_own=len(lists.train))
    if taught:
        videos = long_enough(videos, build_tuple_config(cfg).layout.min_frames)

    def build_dataset(task: Task) -> TrainClips | TrainTuples:
        return _build_tuples(cfg, task, videos) if taught else _build_clips(cfg, videos)

    def prepare_measurements() -> Measurements:
        if Classes.of([lists]).number is None:
            logger.warning("nothing is measured: the videos have no classes")
            return Measurements(dict, not_measured)
        if not len(held_out):
            return Measurements(dict, lambda epoch: _measure_test_list(cfg, model, lists, epoch=epoch))
        measure = _build_held_out(cfg, model, held_out, folder=folder)
        best = KeepBest(folder.best, HeldOut.cross_entropy, extra=parts.describe_model())
        return _measurements(cfg, model, lists, measure=measure, best=best, folder=folder)

    parts = RunParts(
        spec=spec,
        model=model,
        videos=videos,
        validation_metric=HeldOut.accuracy,
        build_dataset=build_dataset,
        prepare_measurements=prepare_measurements,
        listed=listed,
        class_names=class_names,
    )
    return parts


def _split_list(cfg: CfgNode, listed: VideoList, *, num_own: int) -> tuple[VideoList, VideoList]:
    """Returns the training videos and those held out, all of these with a class. The first `num_own` are DATA's own."""
    own, beside = listed.subset(range(num_own)), listed.records[num_own:]
    chosen, held_out = split_training_list(cfg, own)
    held_out = held_out.only(labelled(held_out.records))
    _tell_held_out(cfg, chosen, held_out)
    return listed.only([*chosen.records, *beside]), held_out


def _build_clips(cfg: CfgNode, videos: VideoList) -> TrainClips:
    return TrainClips(
        videos,
        build_clip_spec(cfg),
        augment=build_augment_config(cfg),
        short_side=cfg.DATA.SHORT_SIDE,
        seed=cfg.SEED,
        augment_on=cfg.DATA.AUGMENT_ON,
    )


def _build_tuples(cfg: CfgNode, task: Task, videos: VideoList) -> TrainTuples:
    dataset = build_tuples(cfg, task, videos, build_tuple_config(cfg))
    dataset.with_classes = bool(labelled(videos.records))
    return dataset


def _check_num_classes(cfg: CfgNode, model: ClassificationModel, needed: int) -> None:
    if model.num_classes < needed:
        raise ValueError(
            f"MODEL.WEIGHTS tell {model.num_classes} classes apart, but DATA.ROOT {cfg.DATA.ROOT} has {needed}: "
            "choose weights that were trained on it"
        )


def _tell_held_out(cfg: CfgNode, videos: VideoList, held_out: VideoList) -> None:
    logger.info("%d training videos, %d held out", len(videos), len(held_out))
    if 0 < len(held_out) < _FEW:
        logger.warning(
            "%d held-out videos choose the epoch, which is mostly chance below %d: raise DATA.VALIDATION_SHARE %g, or "
            "set it to 0 to take the last epoch",
            *(len(held_out), _FEW, cfg.DATA.VALIDATION_SHARE),
        )


def _build_held_out(cfg: CfgNode, model: ClassificationModel, held_out: VideoList, *, folder: RunFolder) -> HeldOut:
    config = build_eval_config(cfg)
    return HeldOut(
        held_out,
        model,
        views=Views(config.clips_per_video, cfg.DATA.SHORT_SIDE),
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        directory=folder.path,
    )


def _measurements(
    cfg: CfgNode, model: ClassificationModel, lists: Lists, *, measure: HeldOut, best: KeepBest, folder: RunFolder
) -> Measurements:
    def at_epoch() -> Mapping[str, float]:
        return measure(model, next(model.parameters()).device)  # the test list is not used

    def at_end(epoch: int) -> FinalResult:
        kept = best.read()
        if not kept:
            return _measure_test_list(cfg, model, lists, epoch=epoch)
        model.load_state_dict(best_weights(kept))
        words = f"the epoch was chosen by {measure.words} (DATA.VALIDATION_SHARE {cfg.DATA.VALIDATION_SHARE:g})"
        values = _held_out_values(folder)
        logger.info("%s", words)
        for which in dict.fromkeys((kept["epoch"], epoch)):
            shown = "  ".join(f"{name} {value:.3f}" for name, value in values.get(which, {}).items())
            logger.info("%s epoch %d  %s", "chosen" if which == kept["epoch"] else "last", which, shown)
        chosen_by = values.get(kept["epoch"], {})
        return _measure_test_list(cfg, model, lists, epoch=kept["epoch"], chosen_by=chosen_by, words=words)

    return Measurements(at_epoch, at_end, (best,))


def _held_out_values(folder: RunFolder) -> dict[int, dict[str, float]]:
    """Returns what the held-out videos measured after each epoch."""
    names = (HeldOut.accuracy, HeldOut.cross_entropy)
    return {line["epoch"]: {name: line[name] for name in names if name in line} for line in folder.epochs()}


def _measure_test_list(
    cfg: CfgNode,
    model: ClassificationModel,
    lists: Lists,
    *,
    epoch: int,
    chosen_by: Mapping[str, float] | None = None,
    words: str = "",
) -> FinalResult:
    round_as_stored(cfg, model)
    evaluation = evaluate_run(cfg, model, [lists], [Classify()])
    return final_result(cfg, evaluation, epoch=epoch, chosen_by=chosen_by, words=words)
