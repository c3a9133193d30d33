"""What a run learns classes from: labelled videos, videos without labels beside them, and a teacher's classes."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fvcore.common.config import CfgNode

from kdvideo.config.teachers import teacher_configs
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.datasets.records import check_root, class_names
from kdvideo.data.videos import VideoList, join_lists
from kdvideo.engine.build import load_videos
from kdvideo.errors import naming
from kdvideo.evaluation.protocol import Lists
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model
from kdvideo.paths import expand_user
from kdvideo.tasks.teacher import compares_answers

__all__ = ["count_classes", "labelled", "unlabelled_config", "warn_of_test_videos", "with_unlabelled"]

logger = logging.getLogger("kdvideo")


def count_classes(cfg: CfgNode, lists: Lists, teacher: Model | None) -> tuple[int, tuple[str, ...]]:
    """Counts the classes of a run. Also returns their names, if somebody names all of them.

    They are those of the dataset. If none of its videos has one, they are the teacher's.

    Args:
        cfg: a valid config.
        lists: both lists of the dataset.
        teacher: the teacher's network, if there is one.

    Raises:
        ValueError: videos have no class, and no teacher knows any.
    """
    records = [*lists.train.records, *lists.test.records]
    known, teachers = labelled(records), teacher_configs(cfg)
    if len(known) < len(records) and not isinstance(teacher, ClassificationModel):
        why = f"TASK.NAME {cfg.TASK.NAME} learns classes, but DATA.NAME {cfg.DATA.NAME} has videos without one"
        if teacher is None:
            raise ValueError(
                f"{why}: choose a labelled dataset, TASK.NAME pcl, or a classifier as TEACHER.WEIGHTS, which teaches "
                "its classes"
            )
        asked = ", ".join(one.TEACHER.WEIGHTS for one in teachers)
        raise ValueError(f"{why}, and TEACHER.WEIGHTS {asked} knows none: choose a classifier")
    if cfg.DATA.VALIDATION_SHARE and len(known) < len(records):
        raise ValueError(
            f"DATA.VALIDATION_SHARE is {cfg.DATA.VALIDATION_SHARE:g}, but videos without classes cannot choose an "
            "epoch: set it to 0"
        )
    losses = [loss for one in teachers for loss in one.TEACHER.LOSSES]
    if not labelled(lists.train.records) and not any(map(compares_answers, losses)):
        raise ValueError(
            f"TEACHER.LOSSES is {losses}, which compare no classes, and no training video has one: add "
            "logit_distillation"
        )
    if known:
        number, names = 1 + max(record.class_id or 0 for record in known), tuple(class_names(known))
        return number, names if len(names) == number else ()
    assert isinstance(teacher, ClassificationModel), "checked above"
    return teacher.num_classes, tuple(teacher.class_names)


def labelled(records: Sequence[VideoRecord]) -> list[VideoRecord]:
    """Returns the videos that have a class."""
    return [record for record in records if record.class_id is not None]


def with_unlabelled(cfg: CfgNode, videos: VideoList) -> VideoList:
    """Returns a training list followed by the videos below DATA.UNLABELLED_ROOT, if it is set.

    Their names begin with "unlabelled/", so that they are no others' in a checkpoint or a store of answers.
    """
    if not cfg.DATA.UNLABELLED_ROOT:
        return videos
    with naming(root="DATA.UNLABELLED_ROOT"):
        check_root(expand_user(cfg.DATA.UNLABELLED_ROOT))
    other = unlabelled_config(cfg)
    beside = join_lists([load_videos(other, "train"), load_videos(other, "test")])
    renamed = [replace(record, name=f"unlabelled/{record.name}") for record in beside.records]
    return join_lists([videos, replace(beside, records=renamed)])


def unlabelled_config(cfg: CfgNode) -> CfgNode:
    """Returns the config whose dataset are the videos below DATA.UNLABELLED_ROOT."""
    other = cfg.clone()
    other.defrost()
    other.DATA.NAME, other.DATA.ROOT, other.DATA.SPLIT = "unlabelled", cfg.DATA.UNLABELLED_ROOT, 1
    other.DATA.LIST_DIR = other.DATA.MANIFEST = ""
    return other


def warn_of_test_videos(unlabelled: Sequence[VideoRecord], test: Sequence[VideoRecord]) -> None:
    """Warns if videos of the test list are trained on without their labels.

    They are the same file, or one of the same name and length.

    Args:
        unlabelled: the videos below DATA.UNLABELLED_ROOT.
        test: those of the test list.
    """
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    for record in unlabelled:
        by_name[record.path.name].append(record.path)
    trained = {path.resolve() for paths in by_name.values() for path in paths}
    seen = [
        record
        for record in test
        if record.path.resolve() in trained or any(_same_length(record.path, one) for one in by_name[record.path.name])
    ]
    if seen:
        logger.warning(
            "%d of %d test videos lie below DATA.UNLABELLED_ROOT, too, e.g. %s: the student learns from them, so its "
            "test metrics say less; take them out to measure it on videos that it has not seen",
            *(len(seen), len(test), seen[0].name),
        )


def _same_length(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_size == other.stat().st_size
    except OSError:  # gone: it is trained on by nobody
        return False
