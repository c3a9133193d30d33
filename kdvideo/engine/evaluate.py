"""Measures a model from a config, for `kdvideo eval` and for `kdvideo train --eval-only`."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from kdvideo.config import require_videos, validate_values
from kdvideo.config.naming import naming_keys
from kdvideo.device import choose_device
from kdvideo.distributed import is_main, process_group
from kdvideo.engine.build import (
    build_eval_config,
    build_model,
    build_model_spec,
    build_tuple_config,
    build_views,
    configured_zoo,
    dataset_name,
    load_lists,
    read_clip_spec,
)
from kdvideo.engine.environment import computing, prepare_output
from kdvideo.engine.evaluation_config import measuring_settings, training_config
from kdvideo.engine.guards import EVALUATION_MEMORY, NETWORK_MEMORY, out_of_memory_means
from kdvideo.engine.identity import former_class_order
from kdvideo.engine.log import log_to
from kdvideo.engine.memory_format import to_channels_last
from kdvideo.engine.run_folder import RunFolder
from kdvideo.errors import naming
from kdvideo.evaluation.choice import check_protocols, choose_protocols
from kdvideo.evaluation.classify import Classify
from kdvideo.evaluation.evaluate import evaluate as measure
from kdvideo.evaluation.knn import KNN
from kdvideo.evaluation.linear_probe import LinearProbe
from kdvideo.evaluation.pretext import PretextProtocol
from kdvideo.evaluation.protocol import Classes, Protocol
from kdvideo.evaluation.result import Evaluation
from kdvideo.evaluation.retrieval import Retrieval
from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.zoo.load import load_model
from kdvideo.zoo.sources import Weights

__all__ = ["evaluate"]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class _Network:
    """A network and its origin.

    Attributes:
        model: the network, on the device that computes.
        source: a zoo name, path or URL. For random weights, it is the name of the backbone.
        weights: the weights file. None for random weights.
    """

    model: Model
    source: str
    weights: Weights | None


@naming_keys()
@process_group()
def evaluate(
    cfg: CfgNode,
    *,
    protocols: Sequence[str] = (),
    num_crops: int = 1,
    splits: Sequence[int] = (),
    device: str = "",
) -> Evaluation:
    """Measures MODEL.WEIGHTS, else the checkpoint in OUTPUT_DIR, else random weights drawn from SEED.

    A file or entry itself says its network and its clips. MODEL, CLIP, PRETEXT.TUPLE_LEN and TASK are not used then.
    The result is also written to OUTPUT_DIR: `evaluation.json`, and a CSV confusion table for each protocol that
    predicts classes.

    Args:
        cfg: a loaded config, which this function checks.
        protocols: names from `kdvideo.evaluation.choice.PROTOCOLS`. Defaults to the result of `choose_protocols`.
        num_crops: crops per clip, 1 or 3, for all protocols except "pretext".
        splits: splits of the dataset. Defaults to DATA.SPLIT.
        device: see `kdvideo.device.choose_device`.

    Raises:
        ValueError: the device, config, dataset or weights cannot work, or a protocol does not fit them.
        FloatingPointError: the network's outputs are not finite.
        MemoryError: memory ran out. The message says which setting to lower.
    """
    check_protocols(protocols)
    validate_values(cfg)
    require_videos(cfg)
    chosen = choose_device(device)
    folder = prepare_output(cfg)
    arithmetic = computing(chosen, precision="fp32", deterministic=cfg.SOLVER.DETERMINISTIC)
    with log_to(folder.log), arithmetic:
        network = _find_network(cfg, folder, chosen)
        return _evaluate(cfg, folder, network, protocols=protocols, num_crops=num_crops, splits=splits)


def _evaluate(
    cfg: CfgNode,
    folder: RunFolder,
    network: _Network,
    *,
    protocols: Sequence[str],
    num_crops: int,
    splits: Sequence[int],
) -> Evaluation:
    lists = [load_lists(cfg, split=split) for split in splits or (cfg.DATA.SPLIT,)]
    classes = Classes.of(lists)
    if network.weights is not None:
        _warn_of_seen_videos(cfg, network.weights, [one.split for one in lists])
        _name_former_classes(cfg, network.model, network.weights, classes)
    chosen = choose_protocols(
        _all_protocols(cfg, network.model, folder.path), asked=protocols, model=network.model, classes=classes
    )
    with out_of_memory_means(EVALUATION_MEMORY):
        measured = measure(
            network.model,
            lists,
            chosen,
            views=build_views(cfg, num_crops=num_crops),
            batch_size=cfg.EVAL.BATCH_SIZE,
            num_workers=cfg.DATA.NUM_WORKERS,
        )
    evaluation = replace(
        measured,
        source=network.source,
        sha256=network.weights.sha256 if network.weights else None,
        dataset=dataset_name(cfg),
        settings=measuring_settings(cfg),
    )
    if is_main():
        evaluation.write(folder.path)
    logger.info("final  %s", "  ".join(f"{name} {value:.3f}" for name, value in evaluation.metrics.items()))
    return evaluation


@out_of_memory_means(NETWORK_MEMORY)
def _find_network(cfg: CfgNode, folder: RunFolder, device: torch.device) -> _Network:
    """Finds the network to measure, and moves it to the device that computes."""
    source = cfg.MODEL.WEIGHTS or next(map(str, folder.checkpoints()), "")
    model: Model
    if source:
        clip_spec = read_clip_spec(cfg, "MODEL") if cfg.MODEL.WEIGHTS else None
        with naming(clip_spec="MODEL.CLIP_SPEC"):
            model, weights = load_model(source, zoo=configured_zoo(cfg), clip_spec=clip_spec)
        logger.info("evaluating %s, sha256 %s", source, weights.sha256)
    else:
        logger.info("no weights given, none in %s: evaluating the random weights of SEED %d", folder.path, cfg.SEED)
        torch.manual_seed(cfg.SEED)
        model, weights = build_model(build_model_spec(cfg), torch.device("cpu")), None
    size = backbone_of(model).clip_spec.size
    if size > cfg.DATA.SHORT_SIDE:
        raise ValueError(f"DATA.SHORT_SIDE is {cfg.DATA.SHORT_SIDE}; it must be at least the size of a clip, {size}")
    to_channels_last(model.to(device)).eval()
    return _Network(model, source or cfg.MODEL.BACKBONE, weights)


def _all_protocols(cfg: CfgNode, model: Model, directory: Path) -> list[Protocol]:
    tuples = build_tuple_config(
        cfg,
        clip=backbone_of(model).clip_spec,
        tuple_len=model.pretext_head.tuple_len if isinstance(model, PCLModel) else None,
    )
    pretext = PretextProtocol(tuples, config=build_eval_config(cfg), directory=directory)
    return [pretext, Retrieval(), KNN(), LinearProbe(), Classify()]


def _name_former_classes(cfg: CfgNode, model: Model, weights: Weights, classes: Classes) -> None:
    """Names the classes of an HMDB51 model whose file names none. At that time, their order was different."""
    if isinstance(model, ClassificationModel) and not model.class_names:
        is_former = cfg.DATA.NAME == "hmdb51" == training_config(weights).get("DATA.NAME")
        model.class_names = former_class_order(classes.names) if is_former else ()


def _warn_of_seen_videos(cfg: CfgNode, weights: Weights, splits: Sequence[int]) -> None:
    trained = training_config(weights)
    own = trained.get("DATA.SPLIT")
    if trained.get("DATA.NAME") == cfg.DATA.NAME and (others := [split for split in splits if split != own]):
        logger.warning(
            "%s was trained on split %s: most test videos of split %s were among its training videos",
            weights.source,
            own,
            ", ".join(map(str, others)),
        )
