"""Makes lists for choosing a setting without using the test list."""

import re
from collections.abc import Sequence
from pathlib import Path

from kdvideo.files import write_text

__all__ = ["write_held_out_lists"]


def write_held_out_lists(root: Path, groups: Sequence[int], target: Path, *, split: int = 1) -> Path:
    """Writes lists in which groups of the training list replace the test list.

    The official test list is not used at all.

    Args:
        root: a folder in UCF101's layout.
        groups: numbers of recording groups, as in `v_Archery_g22_c01.avi`.
        target: the folder for the lists, which becomes DATA.LIST_DIR.
        split: the split of the official lists.

    Returns:
        `target`.

    Raises:
        ValueError: there is no list, or a group has no video.
    """
    official = root / "ucfTrainTestlist"
    try:
        index = (official / "classInd.txt").read_text(encoding="utf-8")
        lines = (official / f"trainlist{split:02d}.txt").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"HELD_OUT_GROUPS needs UCF101's lists: {error.filename}: {error.strerror}") from None
    found = {line: int(match[1]) for line in lines if (match := re.search(r"_g(\d+)_c\d+", line))}
    missing = set(groups) - set(found.values())
    if missing:
        raise ValueError(f"HELD_OUT_GROUPS: no video of {official} is of group {min(missing)}")
    held = [line for line in lines if found.get(line) in groups]
    target.mkdir(parents=True, exist_ok=True)
    write_text(target / "classInd.txt", index)
    write_text(target / f"trainlist{split:02d}.txt", "".join(f"{line}\n" for line in lines if line not in held))
    write_text(target / f"testlist{split:02d}.txt", "".join(f"{line.split()[0]}\n" for line in held))
    return target
