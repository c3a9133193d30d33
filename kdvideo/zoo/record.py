"""Adding what was measured of a published model to its entry."""

from collections.abc import Mapping
from dataclasses import replace

from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.sources import PREFIX, find_entry

__all__ = ["check_recordable", "record_metrics"]


def check_recordable(name: str, *, zoo: Zoo) -> ZooEntry:
    """Returns the entry of that name if it is this zoo's own; asked before anything is measured.

    Raises:
        ValueError: no entry, or one that another zoo has.
    """
    entry, owner = find_entry(name, zoo=zoo)
    if owner != zoo:
        raise ValueError(
            f"{entry.name} is in {owner}, which is written only when it is asked for: set `zoo` {owner}, or put the "
            f"model into your own zoo with kdvideo zoo convert"
        )
    return entry


def record_metrics(name: str, metrics: Mapping[str, float], protocol: str, *, zoo: Zoo, sha256: str) -> ZooEntry:
    """Adds metrics and how they were measured to an entry, under the zoo's lock; a reader sees the old one or the new.

    Args:
        name: of the entry, with or without `kdvideo://`.
        metrics: shares in [0, 1]; those of the same name are replaced, others stay.
        protocol: in words; added to the entry's own unless it says so already.
        zoo: that has the entry.
        sha256: of the weights that were measured.

    Raises:
        ValueError: as `check_recordable`, or the entry has other weights by now.
    """
    with zoo.lock():
        entry = check_recordable(name.removeprefix(PREFIX), zoo=zoo)
        if entry.is_verified and entry.sha256 != sha256:
            raise ValueError(f"{entry.name} has been replaced while it was measured: measure it again")
        known = entry.protocol if protocol in entry.protocol else "; ".join(filter(None, (entry.protocol, protocol)))
        updated = replace(entry, metrics={**entry.metrics, **metrics}, protocol=known)
        zoo.write(updated)
        zoo.render()
    return updated
