"""Parts of a training list: videos held out for choosing a model, and fractions for studies of little data."""

import re
from collections import defaultdict
from collections.abc import Sequence

from kdvideo.data.datasets import VideoRecord
from kdvideo.data.draws import Draws

__all__ = ["hold_out", "take_fraction"]

# UCF101 cuts several clips from one recording: v_Archery_g08_c01 to _c05 are nearly the same pictures.
_GROUP = re.compile(r"_g(\d+)_c\d+")


def hold_out(
    records: Sequence[VideoRecord], share: float, *, seed: int = 0
) -> tuple[list[VideoRecord], list[VideoRecord]]:
    """Splits a list into training and held-out videos.

    The split is the same in every run. A share of each class's groups is held out, at least one group and never all.
    Groups stay whole, so that no recording is on both sides. A video that belongs to no group is a group of its own.

    Args:
        records: a training list.
        share: in [0, 1); 0 holds nothing out.
        seed: draws the groups. DATA.VALIDATION_SHARE is always drawn by 0.
    """
    if not share:
        return list(records), []
    held: set[str] = set()
    for class_id, members in _by_class(records).items():
        groups = sorted({_group(record) for record in members})
        count = min(max(1, round(share * len(groups))), len(groups) - 1)
        order = Draws(seed, "held-out", index=_index(class_id)).permutation(len(groups))
        chosen = {groups[i] for i in order[:count]}
        held |= {record.name for record in members if _group(record) in chosen}
    return [r for r in records if r.name not in held], [r for r in records if r.name in held]


def take_fraction(records: Sequence[VideoRecord], fraction: float, *, seed: int) -> list[VideoRecord]:
    """Takes a part of every class, in the list's order.

    These are the limited data of Camarena et al., J. Imaging 2024, 10(4):85. The videos of a fraction are among those
    of any larger fraction with the same seed.

    Args:
        records: a training list.
        fraction: the part of each class, in (0, 1]; at least one video is taken.
        seed: decides which videos are taken.
    """
    kept: set[str] = set()
    for class_id, members in _by_class(records).items():
        order = Draws(seed, "fraction", index=_index(class_id)).permutation(len(members))
        kept |= {members[i].name for i in order[: max(1, round(fraction * len(members)))]}
    return [record for record in records if record.name in kept]


def _by_class(records: Sequence[VideoRecord]) -> dict[int | None, list[VideoRecord]]:
    classes = defaultdict(list)
    for record in records:
        classes[record.class_id].append(record)
    return classes


def _group(record: VideoRecord) -> str:
    match = _GROUP.search(record.name)
    return match.group(1) if match else record.name


def _index(class_id: int | None) -> int:
    """Returns a draw's index for a class. Classes count from 1; videos without labels have 0."""
    return 0 if class_id is None else class_id + 1
