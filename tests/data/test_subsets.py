"""Held-out groups and nested fractions against hand-made lists and the official one."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from kdvideo.data.datasets import VideoRecord
from kdvideo.data.subsets import hold_out, take_fraction


def ucf_list(classes: int = 3, groups: int = 5, clips: int = 4) -> list[VideoRecord]:
    return [
        VideoRecord(Path(name), name, class_id)
        for class_id in range(classes)
        for group in range(1, groups + 1)
        for clip in range(1, clips + 1)
        for name in [f"C{class_id}/v_C{class_id}_g{group:02d}_c{clip:02d}.avi"]
    ]


def groups_of(records) -> set[str]:
    return {record.name.rsplit("_c", 1)[0] for record in records}


@pytest.mark.parametrize(("share", "held_groups"), [(0.2, 1), (0.4, 2), (0.01, 1), (0.99, 4)])
def test_whole_groups_of_every_class_are_held_out(share: float, held_groups: int):
    """A share of the five groups, at least one, never all; no recording on both sides; nothing lost."""
    records = ucf_list()
    kept, held = hold_out(records, share)
    assert groups_of(kept).isdisjoint(groups_of(held))
    assert sorted(r.name for r in kept + held) == sorted(r.name for r in records)
    assert Counter(name.split("/")[0] for name in groups_of(held)) == dict.fromkeys(("C0", "C1", "C2"), held_groups)
    assert hold_out(records, share) == (kept, held)


def test_nothing_is_held_out_unless_asked():
    """Share 0, and classes of a single group, keep everything."""
    records = ucf_list(groups=1)
    assert hold_out(ucf_list(), 0) == (ucf_list(), [])
    assert hold_out(records, 0.5) == (records, [])


def test_videos_without_groups_are_held_out_one_by_one():
    """Other datasets name no recordings; videos without labels are one class."""
    records = [VideoRecord(Path(f"{i}.mp4"), f"{i}.mp4", None) for i in range(10)]
    kept, held = hold_out(records, 0.3)
    assert (len(kept), len(held)) == (7, 3)


@pytest.mark.parametrize(("fraction", "a_class"), [(1.0, 20), (0.5, 10), (0.25, 5), (0.02, 1)])
def test_fractions_are_balanced(fraction: float, a_class: int):
    """The same share of every class, at least one video, in the list's order."""
    records = ucf_list()
    kept = take_fraction(records, fraction, seed=0)
    assert Counter(record.class_id for record in kept) == dict.fromkeys(range(3), a_class)
    assert kept == [record for record in records if record in kept]


def test_fractions_are_nested_and_seeded():
    """2 % lies in 25 % lies in 50 % lies in all; another seed takes others."""
    records = ucf_list()
    taken = [set(take_fraction(records, fraction, seed=1)) for fraction in (0.02, 0.25, 0.5, 1.0)]
    assert all(small < large for small, large in pairwise(taken))
    assert set(take_fraction(records, 0.5, seed=2)) != taken[2]


def test_fractions_of_the_official_list(real_data: Path):
    """UCF101 split 1: 9,537 videos; 2 % is one or two of each of the 101 classes."""
    lines = (real_data / "ucfTrainTestlist" / "trainlist01.txt").read_text().split("\n")
    pairs = [line.split() for line in lines if line.strip()]
    records = [VideoRecord(Path(name), name, int(number) - 1) for name, number in pairs]
    assert len(records) == 9537
    for fraction in (1.0, 0.5, 0.25, 0.02):
        counts = Counter(record.class_id for record in records)
        expected = sum(max(1, round(fraction * count)) for count in counts.values())
        assert len(take_fraction(records, fraction, seed=0)) == expected
