"""The zoo: entries, verified weights, models by name, publishing."""

from kdvideo.zoo.create import create_model, create_pcl_model, is_model, list_models
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.load import LoadReport, load_pretrained

__all__ = [
    "LoadReport",
    "Zoo",
    "ZooEntry",
    "create_model",
    "create_pcl_model",
    "is_model",
    "list_models",
    "load_pretrained",
]
