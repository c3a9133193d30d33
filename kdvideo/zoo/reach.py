"""Whether weights are here or can be fetched, found out without reading them: before a job waits in a queue."""

from pathlib import Path

from kdvideo.models.from_timm import find_timm_config
from kdvideo.zoo import names_of_sources as names
from kdvideo.zoo.fetch import path_of_address, refuse_offline, try_addresses
from kdvideo.zoo.folder import ZooLike
from kdvideo.zoo.hub import check_repository
from kdvideo.zoo.local_files import check_suffix, file_of_folder, require_file
from kdvideo.zoo.remote import check_scheme
from kdvideo.zoo.sources import FoundEntry, entry_at, find_entry, torchvision_address
from kdvideo.zoo.timm_file import repository_of

__all__ = ["check_reach"]


def check_reach(source: str, *, zoo: ZooLike | None = None) -> None:
    """Refuses weights that are not on this machine and cannot be fetched.

    Nothing is fetched, and no hash is computed. Of all servers, only the Hugging Face Hub is asked.

    Args:
        source: see `kdvideo.zoo.sources.resolve_weights`.
        zoo: a zoo to look into before the user's and the packaged one.

    Raises:
        ValueError: says the same as `resolve_weights`.
    """
    source = torchvision_address(source)
    match names.parse_source(source):
        case names.EntryName(name):
            _check_entry(find_entry(name, zoo=zoo))
        case names.Repository() as repository:
            check_repository(repository)
        case names.LocalFolder(path):
            file_of_folder(path, source)
        case names.TimmModel() as model:
            _check_timm(model, source)
        case names.LocalFile(path):
            _check_file(path, source)
        case names.Address(url):
            _check_url(url, source)


def _check_entry(found: FoundEntry) -> None:
    if not found.path.exists():
        try_addresses(found.entry, _look_at)


def _look_at(address: str) -> None:
    if "://" not in address and not Path(address).is_file():
        raise ValueError(f"{address} does not exist")


def _check_url(url: str, source: str) -> None:
    if (known := entry_at(url)) is not None:
        _check_entry(known)
        return
    check_suffix(url.partition("?")[0], source)
    if not path_of_address(check_scheme(url)).exists():
        refuse_offline(url)


def _check_file(path: Path, source: str) -> None:
    check_suffix(path.name, source)
    require_file(path, source)


def _check_timm(model: names.TimmModel, source: str) -> None:
    try:
        config = find_timm_config(model.model)
        if model.file is None:
            check_repository(repository_of(model, config))
            return
    except ValueError as error:
        raise ValueError(f"weights {source}: {error}") from None
    _check_file(model.file, source)
