"""Adds measured metrics of a published model to its entry."""

from collections.abc import Mapping
from dataclasses import replace

from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.sources import find_entry

__all__ = ["check_recordable", "record_metrics"]


def check_recordable(name: str, *, zoo: Zoo) -> ZooEntry:
    """Returns an entry if it belongs to this zoo. Commands call it before they measure.

    Raises:
        ValueError: there is no such entry, or another zoo has it.
    """
    entry, owner = find_entry(name, zoo=zoo)
    if owner != zoo:
        raise ValueError(
            f"{entry.name} is in {owner}, which is written only when it is asked for: set `zoo` {owner}, or put the "
            f"model into your own zoo with kdvideo zoo convert"
        )
    return entry


def record_metrics(
    entry: ZooEntry, metrics: Mapping[str, float], protocol: str, *, zoo: Zoo, sha256: str | None
) -> ZooEntry:
    """Adds metrics to an entry, and how they were measured.

    The zoo's lock is held: a reader sees the old entry or the new one.

    Args:
        entry: the entry that was measured.
        metrics: shares in [0, 1]. They replace those with the same names; others stay.
        protocol: how they were measured, in words. Added to the entry's own unless that says so already.
        zoo: the zoo that has the entry.
        sha256: the hash of the weights that were measured.

    Raises:
        ValueError: the entry was removed or has other weights now.
    """
    with zoo.lock():
        current = zoo.entry(entry.name)
        if current is None or (current.is_verified and current.sha256 != sha256):
            what = "removed" if current is None else "replaced"
            raise ValueError(f"{entry.name} has been {what} while it was measured: measure it again")
        said = protocol in current.protocol
        known = current.protocol if said else "; ".join(filter(None, (current.protocol, protocol)))
        updated = replace(current, metrics={**current.metrics, **metrics}, protocol=known)
        zoo.write(updated)
        zoo.render()
    return updated
