"""Looking after zoos: where weights are, whether files are right, adding and removing models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdvideo.files import file_sha256
from kdvideo.foreign import MOST_BYTES, read_text
from kdvideo.registry import BACKBONES
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.fetch import download_path, expected_sha256, fetch_address, recorded_hash
from kdvideo.zoo.folder import Zoo, ZooLike, read_entry
from kdvideo.zoo.publish import check_publishable
from kdvideo.zoo.sources import FoundEntry, find_entry, zoos

__all__ = ["EntryState", "adopt_entry", "entry_states", "remove_entry", "state_of", "verify_zoo"]


@dataclass(frozen=True)
class EntryState:
    """An entry, and where its weights are.

    Attributes:
        entry: the entry.
        zoo: the zoo that has it.
        weights: "shipped" (with kdvideo), "published" (in its zoo), "fetched", "to fetch", "by hand" or "missing".
    """

    entry: ZooEntry
    zoo: Zoo
    weights: str

    @property
    def hash_state(self) -> str:
        """Who guarantees the file's hash.

        "verified": its publisher. "recorded": the first download. "unverified": nobody so far.
        """
        if self.entry.is_verified:
            return "verified"
        return "recorded" if recorded_hash(self.entry.name) else "unverified"

    def to_dict(self) -> dict[str, Any]:
        """Returns what `kdvideo zoo list --json` prints."""
        entry = self.entry
        return {
            "name": entry.name,
            "architecture": entry.model.backbone,
            "zoo": str(self.zoo),
            "weights": self.weights,
            "hash": self.hash_state,
            "size": entry.size,
            "params": entry.params,
            "macs": entry.macs,
            "metrics": entry.metrics,
            "teacher": entry.teacher,
            **({"more_teachers": entry.more_teachers} if entry.more_teachers else {}),
            "dataset": entry.dataset,
            "licence": entry.licence,
        }


def state_of(found: FoundEntry) -> EntryState:
    """Returns where an entry's weights are."""
    entry, zoo = found
    if found.path.exists():
        owner = "shipped" if zoo.is_packaged else "published"
        return EntryState(entry, zoo, "fetched" if found.path == download_path(entry) else owner)
    return EntryState(entry, zoo, "to fetch" if entry.urls else "by hand" if entry.manual else "missing")


def entry_states(first: ZooLike | None = None) -> list[EntryState]:
    """Lists all entries that a name can refer to, sorted. An entry hides entries of the same name in later zoos."""
    states: dict[str, EntryState] = {}
    for zoo in zoos(first):
        for entry in zoo.entries():
            states.setdefault(entry.name, state_of(FoundEntry(entry, zoo)))
    return [states[name] for name in sorted(states)]


def verify_zoo(zoo: Zoo) -> list[str]:
    """Lists the problems of a zoo, one line each: bad entries, and files that are missing, damaged or without entry."""
    problems = []
    known = set()
    for path in zoo.entry_paths():
        try:
            entry = read_entry(path)
        except ValueError as error:
            problems.append(str(error))
            continue
        known |= {zoo.weights_of(entry), zoo.gallery_of(entry)}
        problems += _problems_of(FoundEntry(entry, zoo))
    for path in zoo.weights_paths():
        if path not in known:
            problems.append(f"{path} belongs to no entry: remove it")
    return problems


def _problems_of(found: FoundEntry) -> list[str]:
    entry, path = found.entry, found.path
    problems = []
    if entry.model.backbone not in BACKBONES:
        problems.append(
            f"{entry.name} needs the backbone {entry.model.backbone}, which nothing has registered: --import FILE.py"
        )
    if state_of(found).weights == "missing":
        problems.append(f"{entry.name}: {found.zoo.weights_of(entry)} is missing: publish it again")
    elif path.exists() and not path.is_file():
        problems.append(f"{entry.name}: {path} is no file: remove it")
    elif path.exists():
        expected, actual = expected_sha256(entry), file_sha256(path)
        if not actual.startswith(expected):
            problems.append(f"{entry.name}: {path} has sha256 {actual[:16]}..., expected {expected[:16]}...")
        recorded = recorded_hash(entry.name)
        if recorded and entry.sha256 and not recorded.sha256.startswith(entry.sha256):
            problems.append(f"{entry.name}: the hash recorded on {recorded.date} is not what its entry now says")
    return problems


def adopt_entry(address: str, *, zoo: Zoo, replace: bool = False) -> FoundEntry:
    """Adds somebody else's released entry to a zoo. Its weights are fetched when they are first needed.

    Args:
        address: the path or address of the entry's JSON file.
        zoo: the zoo to add it to.
        replace: whether an entry with that name may be replaced.

    Raises:
        ValueError: the entry cannot be read, has no address for its weights, or another model has its name.
    """
    local = fetch_address(address, again=True, most_bytes=MOST_BYTES)
    if not local.exists():
        raise ValueError(f"{address} does not exist")
    entry = ZooEntry.from_json(read_text(local), origin=address)
    if not entry.urls:
        raise ValueError(f"{address} does not say where its weights are: release it with `url`")
    check_publishable(entry.name, zoo=zoo, replace=True, config=entry.config)
    with zoo.lock():
        for owner in zoos(zoo):  # in an earlier zoo, it would hide the other zoo's model
            known = None if replace else owner.entry(entry.name)
            if known is not None and not _is_same_model(known, entry):
                raise ValueError(f"{entry.name} is taken in {owner} by another model: remove it, or use `replace`")
        zoo.write(entry)
        zoo.render()
    return FoundEntry(entry, zoo)


def _is_same_model(known: ZooEntry, entry: ZooEntry) -> bool:
    """Returns whether the new entry may replace the old one. It has the same weights, used in the same way.

    Anybody can copy a published hash. With other classes or another input the right weights would answer wrongly.
    """
    parts = [(one.sha256, one.model, one.layout, one.classes) for one in (known, entry)]
    return known == entry or (known.is_verified and parts[0] == parts[1])


def remove_entry(name: str, *, zoo: Zoo) -> list[Path]:
    """Removes a model from a zoo. Of one that comes with kdvideo, only the fetched file is removed.

    A recorded hash stays, so that the file is compared if it is fetched again. A file that another entry of the zoo
    names stays, too.

    Returns:
        The removed files.

    Raises:
        ValueError: no zoo has the model, another zoo has it, or it comes with kdvideo.
    """
    entry, owner = find_entry(name, zoo=zoo)
    fetched = download_path(entry)
    if owner == zoo:
        return _remove_own(entry, zoo, also=fetched)
    if not owner.is_packaged:
        raise ValueError(f"{entry.name} is in {owner}: use `zoo` {owner}")
    if not fetched.exists():
        raise ValueError(f"{entry.name} comes with kdvideo and has no fetched file: there is nothing to remove")
    fetched.unlink()
    return [fetched]


def _remove_own(entry: ZooEntry, zoo: Zoo, *, also: Path) -> list[Path]:
    """Removes an entry, then its files. Without the entry the model does not exist, even if a kill leaves files."""
    kept = _files_of_others(entry.name, zoo)
    files = [path for path in (zoo.weights_of(entry), zoo.gallery_of(entry)) if path not in kept]
    removed = [path for path in (zoo.entry_path(entry.name), *files, also) if path.exists()]
    with zoo.lock():
        for path in removed:
            path.unlink(missing_ok=True)
        zoo.render()
    return removed


def _files_of_others(name: str, zoo: Zoo) -> set[Path]:
    """Returns the weights and galleries of a zoo's other entries."""
    others = [entry for entry in zoo.entries() if entry.name != name]
    return {path for entry in others for path in (zoo.weights_of(entry), zoo.gallery_of(entry))}
