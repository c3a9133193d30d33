"""What a run would refuse at its start, found out before: no network is built, no weights and no videos are read.

A job would wait in a queue for hours, only to end with one of these lines.
"""

from fvcore.common.config import CfgNode

from kdvideo.config import require_videos, validate_values
from kdvideo.config.naming import naming_keys
from kdvideo.config.teachers import naming_teacher, teacher_configs
from kdvideo.data.checking.check import check_listed
from kdvideo.data.datasets import Subset, VideoRecord
from kdvideo.data.subsets import hold_out, take_fraction
from kdvideo.engine.build import configured_zoo, read_clip_spec, read_records, require_batch
from kdvideo.engine.checkpoint import require_checkpoints
from kdvideo.engine.classes import unlabelled_config
from kdvideo.engine.environment import prepare_output, refuse_other_run
from kdvideo.errors import naming
from kdvideo.paths import expand_user
from kdvideo.zoo.publish import check_publishable
from kdvideo.zoo.reach import check_reach

__all__ = ["check_evaluation", "check_run"]


@naming_keys()
def check_run(cfg: CfgNode, *, resume: bool = False) -> None:
    """Refuses a run whose data, teachers, weights, zoo or folder cannot be used.

    Args:
        cfg: a valid config, see `validate_config`.
        resume: whether the run continues the one in OUTPUT_DIR.

    Raises:
        ValueError: says the same as `kdvideo.engine.launch.train`.
    """
    _check_teachers(cfg)
    if not resume:
        _check_weights(cfg)
    _check_videos(cfg)
    if cfg.ZOO.PUBLISH_AS and not resume:  # a run that goes on may have published its entry
        check_publishable(cfg.ZOO.PUBLISH_AS, zoo=configured_zoo(cfg), replace=cfg.ZOO.REPLACE, config=cfg.dump())
    folder = prepare_output(cfg)
    if resume:
        require_checkpoints(folder)
    else:
        refuse_other_run(folder)


@naming_keys()
def check_evaluation(cfg: CfgNode) -> None:
    """Refuses an evaluation whose data or weights cannot be used.

    Args:
        cfg: a loaded config.

    Raises:
        ValueError: says the same as `kdvideo.engine.evaluate.evaluate`.
    """
    validate_values(cfg)
    require_videos(cfg)
    _check_weights(cfg)
    for subset in ("train", "test"):
        _check_list(cfg, subset)


def _check_teachers(cfg: CfgNode) -> None:
    zoo = configured_zoo(cfg)
    for number, one in enumerate(teacher_configs(cfg), start=1):
        with naming_teacher(cfg, number):
            read_clip_spec(one, "TEACHER")
            check_reach(one.TEACHER.WEIGHTS, zoo=zoo)


def _check_weights(cfg: CfgNode) -> None:
    if cfg.MODEL.WEIGHTS:
        read_clip_spec(cfg, "MODEL")
        check_reach(cfg.MODEL.WEIGHTS, zoo=configured_zoo(cfg))


def _check_videos(cfg: CfgNode) -> None:
    train = _check_list(cfg, "train")
    _check_list(cfg, "test")
    if cfg.DATA.UNLABELLED_ROOT:
        with naming(root="DATA.UNLABELLED_ROOT"):
            read_records(unlabelled_config(cfg), "train")
        return
    kept, _ = hold_out(train, cfg.DATA.VALIDATION_SHARE)
    require_batch(cfg, len(take_fraction(kept, cfg.DATA.FRACTION, seed=cfg.SEED)))


def _check_list(cfg: CfgNode, subset: Subset) -> list[VideoRecord]:
    records = read_records(cfg, subset)
    manifest = expand_user(cfg.DATA.MANIFEST) if cfg.DATA.MANIFEST else None
    label = f"{'training' if subset == 'train' else 'test'} videos"
    check_listed(records, manifest=manifest, max_bad_fraction=cfg.DATA.MAX_BAD_FRACTION, label=label)
    return records
