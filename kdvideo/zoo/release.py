"""Releasing models: a folder or store from which others can fetch them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from kdvideo.files import file_sha256, write_atomic
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo, accept_zoo_dir
from kdvideo.zoo.remote import PATH_MANAGER, check_scheme
from kdvideo.zoo.render import render_catalogue
from kdvideo.zoo.sources import bring_weights, find_entry

__all__ = ["release"]


@accept_zoo_dir
def release(names: Sequence[str], destination: str, *, url: str, zoo: Zoo) -> list[str]:
    """Writes models into one folder, as release assets.

    It gets the weights, `MODEL_ZOO.md`, `SHA256SUMS` and then the entries.

    An entry makes its model exist, so it is written after everything that it points to.

    Args:
        names: the names of the models.
        destination: a folder, or an address that iopath can write to, such as s3://bucket/folder.
        url: the address of the folder for those who fetch: each file is at `{url}/{file}`.
        zoo: a zoo to look into first.

    Returns:
        The names of the files in the order of writing.

    Raises:
        ValueError: there is nothing to release, a name is unknown, a file is damaged, or weights are somebody else's.
        OSError: the destination cannot be written.
    """
    if not names:
        raise ValueError(f"{zoo} has no models to release")
    check_scheme(url)
    entries = [_released(name, url=url, zoo=zoo) for name in names]
    with TemporaryDirectory() as directory:
        staged = Path(directory)
        (staged / "MODEL_ZOO.md").write_text(render_catalogue([entry for entry, _ in entries]), encoding="utf-8")
        for entry, _ in entries:
            (staged / f"{entry.name}.json").write_text(entry.to_json(), encoding="utf-8")
        files = [
            *(weights for _, weights in entries),
            staged / "MODEL_ZOO.md",
            staged / "SHA256SUMS",
            *(staged / f"{entry.name}.json" for entry, _ in entries),
        ]
        sums = [f"{file_sha256(path)}  {path.name}\n" for path in files if path.name != "SHA256SUMS"]
        (staged / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
        PATH_MANAGER.mkdirs(check_scheme(destination))
        for path in files:
            _write(path, f"{destination.rstrip('/')}/{path.name}")
    return [path.name for path in files]


def _released(name: str, *, url: str, zoo: Zoo) -> tuple[ZooEntry, Path]:
    found = find_entry(name, zoo=zoo)
    entry = found.entry
    if entry.layout != "kdvideo":
        raise ValueError(f"{name} is published by others ({entry.source}): release your own conversion of it")
    weights = bring_weights(found)
    address = f"{url.rstrip('/')}/{entry.file}"
    return dataclasses.replace(entry, urls=[address], size=weights.path.stat().st_size), weights.path


def _write(path: Path, destination: str) -> None:
    if "://" not in destination:
        write_atomic(Path(destination), lambda temporary: temporary.write_bytes(path.read_bytes()))
    elif not PATH_MANAGER.copy_from_local(str(path), destination, overwrite=True):
        raise OSError(f"{destination} cannot be written")
