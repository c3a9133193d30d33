"""The zoo: entries, verified weights, models by name, publishing."""

from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.load import LoadReport, create_model, create_pcl_model, list_models, load_pretrained

__all__ = ["LoadReport", "Zoo", "ZooEntry", "create_model", "create_pcl_model", "list_models", "load_pretrained"]
