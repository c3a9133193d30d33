"""Which protocols a network and a dataset allow."""

import logging
from collections.abc import Mapping, Sequence

from fvcore.common.config import CfgNode

from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import Model
from kdvideo.registry import PRETEXTS

__all__ = ["PROTOCOLS", "check_protocols", "choose_protocols", "match_classes", "obstacles"]

logger = logging.getLogger("kdvideo")

PROTOCOLS = ("pretext", "retrieval", "knn", "linear_probe", "classify")


def obstacles(cfg: CfgNode, model: Model, *, num_classes: int | None, class_names: Sequence[str]) -> dict[str, str]:
    """Protocols that cannot be measured, and why.

    Args:
        cfg: says which pretext.
        model: the network; a classifier may name its classes.
        num_classes: of the dataset; None where videos have none.
        class_names: of the dataset; empty where it does not name all of them.
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
    if not isinstance(model, ClassificationModel):
        found["classify"] = "the model has no classes of its own"
    elif model.class_names and class_names:
        if unknown := [name for name in class_names if name not in set(model.class_names)]:
            found["classify"] = (
                f"the model does not know {len(unknown)} of the {num_classes} classes of DATA.ROOT ({_few(unknown)}); "
                f"its own {len(model.class_names)} are {_few(model.class_names)}"
            )
    elif model.num_classes != num_classes:
        found["classify"] = (
            f"the model's {model.num_classes} classes are not the {num_classes} of DATA.ROOT, and "
            f"{'the dataset' if model.class_names else 'the model'} does not name them"
        )
    return found


def match_classes(model: ClassificationModel, class_names: Sequence[str]) -> tuple[list[int], list[str]] | None:
    """Matches the model's outputs to the dataset's classes by name.

    Args:
        model: a classifier.
        class_names: of the dataset.

    Returns:
        The numbers of all the model's outputs, first those of the dataset's classes in the dataset's order, and the
        names of the other ones; None where the outputs are the dataset's classes in its order already, or where
        numbers are all that can be compared.
    """
    own = list(model.class_names)
    if not own or not class_names:
        logger.warning(
            "%s does not name its classes: the model's and the dataset's are compared by their numbers, which is wrong "
            "where they are numbered in another way",
            "the dataset" if own else "the model",
        )
        return None
    others = [name for name in own if name not in set(class_names)]
    order = [own.index(name) for name in (*class_names, *others)]
    return None if order == list(range(len(own))) else (order, others)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", .." if len(names) > 3 else "")


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
