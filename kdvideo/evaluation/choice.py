"""Chooses the protocols that a network and a dataset allow."""

import logging
from collections.abc import Sequence

from kdvideo.evaluation.classify import Classify, match_classes
from kdvideo.evaluation.knn import KNN
from kdvideo.evaluation.linear_probe import LinearProbe
from kdvideo.evaluation.pretext import PretextProtocol
from kdvideo.evaluation.protocol import Classes, Protocol
from kdvideo.evaluation.retrieval import Retrieval
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model

__all__ = ["PROTOCOLS", "check_protocols", "choose_protocols"]

logger = logging.getLogger("kdvideo")

PROTOCOLS = tuple(protocol.name for protocol in (PretextProtocol, Retrieval, KNN, LinearProbe, Classify))


def check_protocols(asked: Sequence[str]) -> None:
    """Refuses unknown protocol names, before anything is loaded.

    Raises:
        ValueError: a name is unknown. Lists the known names.
    """
    for name in asked:
        if name not in PROTOCOLS:
            raise ValueError(f"{name!r} is no protocol: choose of {', '.join(PROTOCOLS)}")


def choose_protocols(
    protocols: Sequence[Protocol], *, asked: Sequence[str], model: Model, classes: Classes
) -> list[Protocol]:
    """Chooses the protocols to measure a network by.

    Args:
        protocols: the protocols to choose from.
        asked: names of the protocols that must be measured. If empty, a classifier of the dataset's classes is measured
            by its own answers, and any other network by all protocols that it allows.
        model: the network.
        classes: the classes of the videos.

    Raises:
        ValueError: a protocol in `asked` cannot be measured, or no protocol can.
    """
    obstacles = {one.name: why for one in protocols if (why := one.obstacle(model, classes)) is not None}
    for name in asked:
        if name in obstacles:
            raise ValueError(f"{name} cannot be measured: {obstacles[name]}")
    possible = [one for one in protocols if one.name not in obstacles]
    if asked:
        return _noted([one for one in possible if one.name in asked], model, classes)
    if not possible:
        raise ValueError(f"nothing can be measured: {'; '.join(dict.fromkeys(obstacles.values()))}")
    for name, why in obstacles.items():
        logger.info("%s is not measured: %s", name, why)
    return _noted([one for one in possible if one.name == Classify.name] or possible, model, classes)


def _noted(chosen: list[Protocol], model: Model, classes: Classes) -> list[Protocol]:
    """Logs how a classifier's answers are compared with the dataset's classes."""
    if isinstance(model, ClassificationModel) and any(one.name == Classify.name for one in chosen):
        if not model.class_names or not classes.names:
            logger.warning(
                "%s does not name its classes: the model's and the dataset's are compared by their numbers, which is "
                "wrong where they are numbered in another way",
                "the dataset" if model.class_names else "the model",
            )
        elif match_classes(model, classes) is not None:
            logger.info("the model's classes are matched to the dataset's by name")
    return chosen
