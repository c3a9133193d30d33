"""Builds the config for measuring a model: the settings of its entry or its run's folder, then the user's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from kdvideo.config import flatten_config, get_defaults, load_config, merge_config
from kdvideo.config.key import Role
from kdvideo.config.keys import keys_with_role
from kdvideo.engine.build import configured_zoo, read_clip_spec
from kdvideo.engine.environment import refuse_other_run
from kdvideo.engine.run_folder import RunFolder
from kdvideo.errors import naming
from kdvideo.paths import expand_user
from kdvideo.registry import BACKBONES
from kdvideo.zoo.contents import read_contents
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.sources import Weights, resolve_weights

__all__ = ["MEASURING_KEYS", "evaluation_config", "measuring_settings", "training_config"]

MEASURING_KEYS = keys_with_role(Role.MEASURING)


def evaluation_config(
    source: str,
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    values: Mapping[str, Any] | None = None,
    zoo: Zoo | None = None,
) -> CfgNode:
    """Builds the config for measuring `source`.

    A model of kdvideo is measured as it was trained: with the same dataset, split, frame size and pretext, unless the
    file or the overrides say otherwise. For any other model, frames get the usual margin around the crop.

    Args:
        source: a zoo name, path or URL; or a registered backbone, measured with random weights drawn from SEED.
        config_file: a yaml file.
        overrides: pairs of KEY and VALUE.
        values: nested sections, which come after the overrides.
        zoo: a zoo to look into first, like ZOO.DIR.

    Raises:
        ValueError: there are no such weights; a file or override is invalid; or the weights are random and
            OUTPUT_DIR holds a run.
    """

    def load(start: CfgNode, *pairs: str) -> CfgNode:
        cfg = load_config(config_file, [*overrides, *pairs], start=start)
        merge_config(cfg, values or {}, origin="the call")
        return cfg

    start = get_defaults()
    if zoo is not None:
        start.ZOO.DIR = str(zoo)
    given = load(start)
    start.OUTPUT_DIR = str(
        Path("output") / "eval" / Path(source).stem if "/" in source else Path("output", "eval", source)
    )
    if source in BACKBONES:
        cfg = load(start, "MODEL.BACKBONE", source, "MODEL.WEIGHTS", "")
        refuse_other_run(RunFolder(expand_user(cfg.OUTPUT_DIR)))  # otherwise its checkpoint would be measured instead
        return cfg
    weights = resolve_weights(source, zoo=configured_zoo(given))
    settings = training_config(weights)
    if wanted := {key: settings[key] for key in MEASURING_KEYS if key in settings}:
        merge_config(start, wanted, origin=f"the config of {source}")
    else:
        clip_spec = read_clip_spec(given, "MODEL")
        with naming(clip_spec="MODEL.CLIP_SPEC"):
            spec = read_contents(weights, clip_spec).spec
        if convention := spec.clip_spec if spec else clip_spec:
            start.DATA.SHORT_SIDE = convention.own_short_side
    return load(start, "MODEL.WEIGHTS", source)


def training_config(weights: Weights) -> dict[str, Any]:
    """Returns the config that weights were trained with. It comes from their entry or from their run's folder.

    Returns:
        Dotted keys. Empty if other people trained the weights.
    """
    if weights.entry is not None:
        return weights.entry.settings
    if weights.path.is_dir():
        return {}  # a folder of the transformers library, which no run has written
    return flatten_config(RunFolder(weights.path.parent).config())


def measuring_settings(cfg: CfgNode) -> dict[str, Any]:
    """Returns the settings that a measurement depended on, as dotted keys."""
    values = flatten_config(cfg)
    return {key: values[key] for key in MEASURING_KEYS}
