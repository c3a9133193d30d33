"""Which protocols a network and a dataset allow."""

import logging
from collections.abc import Mapping, Sequence

from fvcore.common.config import CfgNode

from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import Model
from kdvideo.registry import PRETEXTS
from kdvideo.zoo.sources import Weights

__all__ = ["PROTOCOLS", "check_protocols", "choose_protocols", "obstacles"]

logger = logging.getLogger("kdvideo")

PROTOCOLS = ("pretext", "retrieval", "knn", "linear_probe", "classify")


def obstacles(
    cfg: CfgNode, model: Model, weights: Weights | None, *, num_classes: int | None, class_names: Sequence[str]
) -> dict[str, str]:
    """Protocols that cannot be measured, and why.

    Args:
        cfg: says which pretext.
        model: the network.
        weights: where it came from; an entry may name its classes.
        num_classes: of the dataset; None where videos have none.
        class_names: of the dataset; empty where its folders do not tell.
    """
    found = {}
    if not isinstance(model, PCLModel):
        found["pretext"] = "the model has no pretext head"
    elif (answers := model.pretext_head.num_classes) != PRETEXTS.get(cfg.PRETEXT.NAME).num_classes:
        found["pretext"] = f"the model has {answers} answers, which are not those of PRETEXT.NAME {cfg.PRETEXT.NAME}"
    if num_classes is None:
        return found | dict.fromkeys(("retrieval", "knn", "linear_probe", "classify"), "the videos have no classes")
    if num_classes < 2:
        found["linear_probe"] = "all videos are of one class"
    own = weights.entry.classes if weights and weights.entry else []
    if not isinstance(model, ClassificationModel):
        found["classify"] = "the model has no classes of its own"
    elif model.head.out_features != num_classes or (own and class_names and list(own) != list(class_names)):
        found["classify"] = f"the model's {model.head.out_features} classes are not the {num_classes} of DATA.ROOT"
    return found


def check_protocols(asked: Sequence[str]) -> None:
    """Refuses what is no protocol, before anything is loaded.

    Raises:
        ValueError: names those that there are.
    """
    for protocol in asked:
        if protocol not in PROTOCOLS:
            raise ValueError(f"{protocol!r} is no protocol: choose of {', '.join(PROTOCOLS)}")


def choose_protocols(asked: Sequence[str], obstacles: Mapping[str, str]) -> list[str]:
    """Those asked for; or else a classifier's own answer where it has one, and all that is possible where not.

    Raises:
        ValueError: one that was asked for cannot be measured, or nothing can.
    """
    for protocol in asked:
        if protocol in obstacles:
            raise ValueError(f"{protocol} cannot be measured: {obstacles[protocol]}")
    if asked:
        return list(asked)
    possible = [protocol for protocol in PROTOCOLS if protocol not in obstacles]
    if not possible:
        raise ValueError(f"nothing can be measured: {'; '.join(dict.fromkeys(obstacles.values()))}")
    for protocol, why in obstacles.items():
        logger.info("%s is not measured: %s", protocol, why)
    return ["classify"] if "classify" in possible else possible
