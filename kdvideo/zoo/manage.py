"""Looking after zoos: where each entry's weights are, whether they are what they should be, adding and removing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdvideo.files import file_sha256
from kdvideo.foreign import MOST_BYTES, read_text
from kdvideo.paths import zoo_root
from kdvideo.registry import BACKBONES
from kdvideo.zoo.entry import ZooEntry, gallery_file
from kdvideo.zoo.fetch import download_path, expected_sha256, fetch_address, recorded_hash
from kdvideo.zoo.publish import check_publishable
from kdvideo.zoo.render import render_zoo, zoo_lock
from kdvideo.zoo.sources import entry_file, find_entry, list_entries, read_entry, zoo_dirs

__all__ = ["EntryState", "adopt_entry", "entry_states", "remove_entry", "state_of", "verify_zoo"]


@dataclass(frozen=True)
class EntryState:
    """An entry, and what there is of it on this machine.

    Attributes:
        entry: what is published.
        zoo_dir: the zoo that has it.
        weights: "shipped" (with kdvideo), "published" (in its zoo), "fetched", "to fetch", "by hand" or "missing".
    """

    entry: ZooEntry
    zoo_dir: Path
    weights: str

    @property
    def hash_state(self) -> str:
        """Who vouches for the hash: "verified", its publisher; "recorded", the first download; "unverified", nobody."""
        if self.entry.is_verified:
            return "verified"
        return "recorded" if recorded_hash(self.entry.name) else "unverified"

    def to_dict(self) -> dict[str, Any]:
        """What `kdvideo zoo list --json` prints."""
        entry = self.entry
        return {
            "name": entry.name,
            "architecture": entry.model.backbone,
            "zoo": str(self.zoo_dir),
            "weights": self.weights,
            "hash": self.hash_state,
            "size": entry.size,
            "params": entry.params,
            "macs": entry.macs,
            "metrics": entry.metrics,
            "teacher": entry.teacher,
            "dataset": entry.dataset,
            "licence": entry.licence,
        }


def state_of(entry: ZooEntry, zoo_dir: Path) -> EntryState:
    """Where the entry's weights are."""
    path = entry_file(entry, zoo_dir)
    if path.exists():
        owner = "shipped" if zoo_dir == zoo_root() else "published"
        return EntryState(entry, zoo_dir, "fetched" if path == download_path(entry) else owner)
    return EntryState(entry, zoo_dir, "to fetch" if entry.urls else "by hand" if entry.manual else "missing")


def entry_states(zoo_dir: Path | None = None) -> list[EntryState]:
    """Every entry that a name can mean, sorted; one zoo's entry hides a later zoo's of the same name."""
    found: dict[str, EntryState] = {}
    for directory in zoo_dirs(zoo_dir):
        for entry in list_entries(directory):
            found.setdefault(entry.name, state_of(entry, directory))
    return [found[name] for name in sorted(found)]


def verify_zoo(zoo_dir: Path) -> list[str]:
    """What is wrong in one zoo, a line each: bad entries, missing or damaged files, files without an entry."""
    problems = []
    known = set()
    for path in sorted((zoo_dir / "entries").glob("*.json")):
        try:
            entry = read_entry(path)
        except ValueError as error:
            problems.append(str(error))
            continue
        known |= {entry.file, gallery_file(Path(entry.file)).name}
        problems += _problems_of(entry, zoo_dir)
    for path in sorted((zoo_dir / "weights").glob("[!.]*")):
        if path.name not in known:
            problems.append(f"{path} belongs to no entry: remove it")
    return problems


def _problems_of(entry: ZooEntry, zoo_dir: Path) -> list[str]:
    problems = []
    if entry.model.backbone not in BACKBONES:
        problems.append(
            f"{entry.name} needs the backbone {entry.model.backbone}, which nothing has registered: --import FILE.py"
        )
    state = state_of(entry, zoo_dir)
    path = entry_file(entry, zoo_dir)
    if state.weights == "missing":
        problems.append(f"{entry.name}: {zoo_dir / 'weights' / entry.file} is missing: publish it again")
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


def adopt_entry(address: str, *, zoo_dir: Path, replace: bool = False) -> ZooEntry:
    """Puts somebody else's released entry into a zoo; its weights are fetched when they are first needed.

    Args:
        address: path or address of the entry's JSON file.
        zoo_dir: the zoo.
        replace: whether an entry of that name may be replaced.

    Raises:
        ValueError: it cannot be read, has no address for its weights, or its name is taken by another model.
    """
    local = fetch_address(address, again=True, most_bytes=MOST_BYTES)
    if not local.exists():
        raise ValueError(f"{address} does not exist")
    entry = ZooEntry.from_json(read_text(local), origin=address)
    if not entry.urls:
        raise ValueError(f"{address} does not say where its weights are: release it with --url")
    check_publishable(entry.name, zoo_dir=zoo_dir, replace=True, config=entry.config)
    with zoo_lock(zoo_dir):
        for owner in dict.fromkeys([zoo_dir, *zoo_dirs()]):  # in a zoo before another it would hide that one's model
            path = owner / "entries" / f"{entry.name}.json"
            if path.exists() and not replace and not _is_same_model(read_entry(path), entry):
                raise ValueError(f"{entry.name} is taken in {owner} by another model: remove it, or use --replace")
        entry.write(zoo_dir)
        render_zoo(zoo_dir)
    return entry


def _is_same_model(known: ZooEntry, entry: ZooEntry) -> bool:
    """Returns whether the new entry may replace the old one: the same weights, understood in the same way.

    Anybody can copy a published hash; with other classes or another input the right weights would answer wrongly.
    """
    parts = [(one.sha256, one.model, one.layout, one.classes) for one in (known, entry)]
    return known == entry or (known.is_verified and parts[0] == parts[1])


def remove_entry(name: str, *, zoo_dir: Path) -> list[Path]:
    """Removes a model from a zoo, or only the fetched file if its entry comes with kdvideo.

    A recorded hash stays, so that the file is compared if it is ever fetched again. So does a file that another entry
    of the zoo names as well.

    Returns:
        What has been removed.

    Raises:
        ValueError: no zoo has it, another zoo has it, or it ships with kdvideo.
    """
    entry, owner = find_entry(name, zoo_dir=zoo_dir)
    fetched = download_path(entry)
    victims = [fetched] if fetched.exists() else []
    if owner == zoo_dir:
        # The entry goes first: without it the model does not exist, whatever a kill leaves of the rest.
        weights = owner / "weights" / entry.file
        kept = _files_of_others(entry.name, owner)
        files = [path for path in (weights, gallery_file(weights)) if path.name not in kept]
        victims = [owner / "entries" / f"{entry.name}.json", *files, *victims]
    elif owner != zoo_root():
        raise ValueError(f"{entry.name} is in {owner}: use --zoo {owner}")
    elif not victims:
        raise ValueError(f"{entry.name} comes with kdvideo and has no fetched file: there is nothing to remove")
    removed = [path for path in victims if path.exists()]
    if owner != zoo_dir:
        fetched.unlink()
        return removed
    with zoo_lock(owner):
        for path in removed:
            path.unlink(missing_ok=True)
        render_zoo(owner)
    return removed


def _files_of_others(name: str, zoo_dir: Path) -> set[str]:
    """Names of weights and galleries that belong to other entries of a zoo."""
    files = [Path(entry.file) for entry in list_entries(zoo_dir) if entry.name != name]
    return {path.name for file in files for path in (file, gallery_file(file))}
