"""Measured metrics in an entry: what is replaced, what stays, and which zoo is written."""

from dataclasses import replace

import pytest
from tiny_zoo import FACTS, NAME, fork, publish_tiny

from kdvideo.paths import user_zoo, zoo_root
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.record import check_recordable, record_metrics
from kdvideo.zoo.sources import find_entry

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


def test_metrics_are_added_and_replaced():
    """All else of the entry stays; the same protocol is not said twice; the table follows."""
    _, entry = publish_tiny()
    for share in (0.3, 0.7):
        record_metrics(
            entry,
            {"knn_10clip": share, "retrieval_at_1": 0.125},
            "split 1: k",
            zoo=Zoo.user(),
            sha256=entry.sha256,
        )
    metrics = {**FACTS.metrics, "knn_10clip": 0.7, "retrieval_at_1": 0.125}
    assert find_entry(NAME)[0] == replace(entry, metrics=metrics, protocol="none; split 1: k")
    assert "| 50.0 (20.0) | 12.5 |" in (user_zoo() / "MODEL_ZOO.md").read_text()


def test_other_weights_are_refused():
    """They were replaced while the old ones were measured."""
    _, entry = publish_tiny()
    with pytest.raises(ValueError, match=f"{NAME} has been replaced while it was measured"):
        record_metrics(entry, {"a": 1.0}, "b", zoo=Zoo.user(), sha256="0" * 64)
    Zoo.user().entry_path(NAME).unlink()
    with pytest.raises(ValueError, match=f"{NAME} has been removed while it was measured"):
        record_metrics(entry, {"a": 1.0}, "b", zoo=Zoo.user(), sha256=entry.sha256)


def test_only_the_zoo_that_was_asked_for_is_written():
    """What comes with kdvideo is not changed by measuring it."""
    with pytest.raises(ValueError, match=f"{SHIPPED} is in {zoo_root()}, which is written only when it is asked for"):
        check_recordable(SHIPPED, zoo=Zoo.user())
    assert check_recordable(SHIPPED, zoo=Zoo.packaged()).name == SHIPPED
    with pytest.raises(ValueError, match="is no zoo name"):
        check_recordable("output/run/checkpoint.pt", zoo=Zoo.user())


def record(metric: str, entry: ZooEntry) -> None:
    record_metrics(entry, {metric: 0.5}, metric, zoo=Zoo.user(), sha256=entry.sha256)


def test_writers_at_once_lose_nothing():
    """Each reads the entry under the lock that it writes it under."""
    _, entry = publish_tiny()
    processes = [fork(record, f"m{number}", entry) for number in range(6)]
    for process in processes:
        process.join()
    assert {f"m{number}" for number in range(6)} <= find_entry(NAME)[0].metrics.keys()
