"""Loads the teachers that a config names, for training and for `kdvideo teach`."""

from fvcore.common.config import CfgNode

from kdvideo.config.teachers import naming_teacher, teacher_configs
from kdvideo.engine.build import configured_zoo, read_clip_spec
from kdvideo.engine.memory_format import to_channels_last
from kdvideo.errors import naming
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.registry import PRETEXTS
from kdvideo.zoo.load import load_model
from kdvideo.zoo.sources import Weights

__all__ = ["load_teacher", "load_teachers"]


def load_teachers(cfg: CfgNode) -> list[tuple[Model, Weights]]:
    """Loads all teachers of a config, in the order of TEACHERS, with their sources.

    Raises:
        ValueError: one cannot be loaded. Names it, as "TEACHERS.2.WEIGHTS".
    """
    loaded = []
    for number, one in enumerate(teacher_configs(cfg), start=1):
        with naming_teacher(cfg, number):
            loaded.append(load_teacher(one))
    return loaded


def load_teacher(cfg: CfgNode) -> tuple[Model, Weights]:
    """Loads TEACHER.WEIGHTS: the whole network, or its backbone where no pretext asks for its heads.

    Raises:
        ValueError: there are no such weights, or they do not say what to build.
    """
    clip_spec = read_clip_spec(cfg, "TEACHER")
    with naming(clip_spec="TEACHER.CLIP_SPEC"):
        model, weights = load_model(cfg.TEACHER.WEIGHTS, zoo=configured_zoo(cfg), clip_spec=clip_spec)
    if not PRETEXTS.get(cfg.PRETEXT.NAME).num_classes and not isinstance(model, ClassificationModel):
        model = backbone_of(model)  # its heads take tuples
    return to_channels_last(model), weights
