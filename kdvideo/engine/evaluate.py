"""Measuring a network: `kdvideo eval`, and `--eval-only` of `kdvideo train`."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from kdvideo.config import validate_config
from kdvideo.config.naming import naming_keys
from kdvideo.data.datasets.records import class_names
from kdvideo.data.videos import VideoList, join_lists
from kdvideo.distributed import is_main, process_group
from kdvideo.engine.build import (
    build_model,
    build_model_spec,
    configured_zoo,
    follow_model,
    load_videos,
    read_clip_spec,
    warn_of_repeats,
)
from kdvideo.engine.environment import prepare_output, set_up_logging
from kdvideo.engine.evaluation_config import measuring_settings, training_config
from kdvideo.engine.evaluation_result import Evaluation, SplitResult
from kdvideo.engine.guards import out_of_memory_means
from kdvideo.engine.identity import former_class_order
from kdvideo.engine.memory import keep_freed_memory
from kdvideo.engine.protocols import check_protocols, choose_protocols, match_classes, obstacles
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.tuple_evaluation import TupleEvaluation
from kdvideo.errors import naming
from kdvideo.evaluation.clip_outputs import ClipOutputs, Views, compute_clip_outputs
from kdvideo.evaluation.knn import measure_knn
from kdvideo.evaluation.measure import Measurement, measure_classes, measure_retrieval
from kdvideo.evaluation.probe import measure_linear_probe
from kdvideo.evaluation.protocols import have_classes
from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import Model
from kdvideo.zoo.load import load_model
from kdvideo.zoo.sources import Weights

__all__ = ["evaluate"]

logger = logging.getLogger("kdvideo")

_ON_FEATURES = {"retrieval": measure_retrieval, "knn": measure_knn, "linear_probe": measure_linear_probe}


@dataclass(frozen=True)
class _Lists:
    """A split."""

    test: VideoList
    train: VideoList


@dataclass(frozen=True)
class _Job:
    """What is measured, and how."""

    cfg: CfgNode
    model: Model
    device: torch.device
    protocols: Sequence[str]
    views: Views
    directory: Path
    outputs: Sequence[int] | None = None  # of a classifier, in the dataset's order of classes, others behind


@naming_keys()
@process_group()
def evaluate(
    cfg: CfgNode, *, protocols: Sequence[str] = (), num_crops: int = 1, splits: Sequence[int] = ()
) -> Evaluation:
    """Measures MODEL.WEIGHTS, or else the checkpoint in OUTPUT_DIR, or else the weights that SEED draws.

    A file or entry says itself what network and what clips it is for; MODEL, CLIP and PRETEXT.TUPLE_LEN follow it. The
    result is also written to OUTPUT_DIR: `evaluation.json`, and a CSV table of confusions for each protocol that names
    classes.

    Args:
        cfg: a loaded config; it is checked here.
        protocols: of `kdvideo.engine.protocols.PROTOCOLS`; unless given, what `choose_protocols` finds.
        num_crops: of each clip, 1 or 3, for all protocols but "pretext".
        splits: of the dataset; DATA.SPLIT unless given.

    Raises:
        ValueError: a config, dataset or weights that cannot work, or a protocol that does not fit them.
        FloatingPointError: the network's outputs are not finite.
        MemoryError: says which setting to lower.
    """
    check_protocols(protocols)
    keep_freed_memory()
    cfg = cfg.clone()
    cfg.defrost()
    folder = prepare_output(cfg)
    set_up_logging(folder.path)
    model, weights = _find_model(cfg, folder)
    lists = {split: _load_lists(cfg, split) for split in splits or (cfg.DATA.SPLIT,)}
    if weights is not None:
        _warn_of_seen_videos(cfg, weights, lists)
    names = class_names(record for both in lists.values() for record in (*both.test.records, *both.train.records))
    num_classes = _num_classes(lists.values())
    if isinstance(model, ClassificationModel) and not model.class_names and weights is not None:
        model.class_names = _former_names(cfg, weights, names)
    found = obstacles(cfg, model, num_classes=num_classes, class_names=names)
    chosen = choose_protocols(protocols, found)
    match = match_classes(model, names) if "classify" in chosen and isinstance(model, ClassificationModel) else None
    if match is not None:
        logger.info("the model's classes are matched to the dataset's by name")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).to(memory_format=torch.channels_last_3d).eval()
    views = Views(cfg.EVAL.FINAL_CLIPS_PER_VIDEO, cfg.DATA.SHORT_SIDE, num_crops)
    job = _Job(cfg, model, device, chosen, views, folder.path, outputs=match[0] if match else None)
    with out_of_memory_means("lower EVAL.BATCH_SIZE"):
        outputs = _compute_outputs(job, lists.values())
        results = [_measure_split(job, split, both, outputs) for split, both in lists.items()]
    evaluation = Evaluation(
        source=cfg.MODEL.WEIGHTS or cfg.MODEL.BACKBONE,
        sha256=weights.sha256 if weights else None,
        dataset=Path(cfg.DATA.ROOT).name or Path(cfg.DATA.ROOT).resolve().name,
        class_names=names or [str(number) for number in range(num_classes or 0)],
        other_classes=match[1] if match else (),
        settings=measuring_settings(cfg),
        splits=results,
    )
    if is_main():
        evaluation.write(folder.path)
    logger.info("final  %s", "  ".join(f"{name} {value:.3f}" for name, value in evaluation.metrics.items()))
    return evaluation


def _find_model(cfg: CfgNode, folder: RunFolder) -> tuple[Model, Weights | None]:
    """The network to measure; CLIP and what else depends on it follow it, then the config is checked."""
    source = cfg.MODEL.WEIGHTS or next(map(str, folder.checkpoints()), "")
    clip_spec = read_clip_spec(cfg, "MODEL") if cfg.MODEL.WEIGHTS else None
    with naming(clip_spec="MODEL.CLIP_SPEC"):
        model, weights = load_model(source, zoo=configured_zoo(cfg), clip_spec=clip_spec) if source else (None, None)
    if model is not None:
        follow_model(cfg, model)
    cfg.MODEL.WEIGHTS, cfg.TEACHER.WEIGHTS, cfg.TEACHER.REPLAY = source, "", False
    cfg.TASK.NAME = "pcl" if model is None or isinstance(model, PCLModel) else "supervised"  # whether it has a pretext
    validate_config(cfg)
    if model is None or weights is None:
        logger.info("no weights given, none in %s: evaluating the random weights of SEED %d", folder.path, cfg.SEED)
        torch.manual_seed(cfg.SEED)
        return build_model(build_model_spec(cfg), torch.device("cpu")), None
    logger.info("evaluating %s, sha256 %s", source, weights.sha256)
    return model, weights


def _former_names(cfg: CfgNode, weights: Weights, names: Sequence[str]) -> Sequence[str]:
    """Returns the classes of a file that names none: HMDB51's former order, or nothing for any other dataset."""
    is_former = cfg.DATA.NAME == "hmdb51" == training_config(weights).get("DATA.NAME")
    return former_class_order(names) if is_former else ()


def _warn_of_seen_videos(cfg: CfgNode, weights: Weights, splits: Iterable[int]) -> None:
    trained = training_config(weights)
    own = trained.get("DATA.SPLIT")
    if trained.get("DATA.NAME") == cfg.DATA.NAME and (others := [split for split in splits if split != own]):
        logger.warning(
            "%s was trained on split %s: most test videos of split %s were among its training videos",
            weights.source,
            own,
            ", ".join(map(str, others)),
        )


def _load_lists(cfg: CfgNode, split: int) -> _Lists:
    cfg = cfg.clone()
    cfg.DATA.SPLIT = split
    both = _Lists(test=load_videos(cfg, "test"), train=load_videos(cfg, "train"))
    warn_of_repeats(both.train, both.test)
    return both


def _num_classes(lists: Iterable[_Lists]) -> int | None:
    """Of all videos together; None where some have no class."""
    videos = [part for both in lists for part in (both.test, both.train)]
    if not have_classes(*videos):
        return None
    return 1 + max(record.class_id for part in videos for record in part.records if record.class_id is not None)


def _compute_outputs(job: _Job, lists: Iterable[_Lists]) -> ClipOutputs | None:
    """Of all videos that a protocol looks at whole, each once however many splits name it."""
    on_features = any(protocol in _ON_FEATURES for protocol in job.protocols)
    needed = [part for both in lists for part in ((both.test, both.train) if on_features else (both.test,))]
    if not on_features and "classify" not in job.protocols:
        return None
    return compute_clip_outputs(
        job.model,
        join_lists(needed),
        views=job.views,
        batch_size=job.cfg.EVAL.BATCH_SIZE,
        num_workers=job.cfg.DATA.NUM_WORKERS,
        device=job.device,
    )


def _measure_split(job: _Job, split: int, both: _Lists, outputs: ClipOutputs | None) -> SplitResult:
    metrics: dict[str, float] = {}
    counts: dict[str, int] = {}
    words: list[str] = []
    if "pretext" in job.protocols:
        assert isinstance(job.model, PCLModel)
        tuples = TupleEvaluation(job.cfg, train=both.train, test=both.test, directory=job.directory)
        metrics |= tuples(job.model, job.device)
        counts = {name: tuples.num_videos(name) for name in metrics}
        words.append(tuples.words)
    measured = _measure_outputs(job, both, outputs) if outputs is not None else {}
    for one in measured.values():
        metrics |= one.metrics
        words.append(one.words)
    return SplitResult(
        split,
        num_test=len(both.test),
        num_train=len(both.train),
        metrics=metrics,
        words=words,
        counts=counts,
        classes=outputs.of(both.test.records).classes if outputs is not None else None,
        predicted={name: one.predicted for name, one in measured.items() if one.predicted is not None},
    )


def _measure_outputs(job: _Job, both: _Lists, outputs: ClipOutputs) -> dict[str, Measurement]:
    test = outputs.of(both.test.records)
    measured = {
        name: measure(test, outputs.of(both.train.records), views=job.views)
        for name, measure in _ON_FEATURES.items()
        if name in job.protocols
    }
    if "classify" in job.protocols:
        if job.outputs is not None:
            assert test.logits is not None, "a classifier was run"
            test = replace(test, logits=test.logits[..., list(job.outputs)])
        measured["classify"] = measure_classes(test, views=job.views)
    return measured
