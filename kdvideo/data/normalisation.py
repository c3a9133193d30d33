"""The normalisations of published weights, as a `ClipSpec` takes them; kdvideo's own are its defaults."""

from typing import TypedDict

__all__ = ["IMAGENET", "KINETICS", "Normalisation"]


class Normalisation(TypedDict):
    """Mean and standard deviation of each colour channel, of values in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET: Normalisation = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
KINETICS: Normalisation = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
