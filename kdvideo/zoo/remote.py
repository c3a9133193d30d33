"""The path manager of the zoo. It is iopath's, with the schemes that the zoo knows.

After `PATH_MANAGER.register_handler(handler)`, the handler's scheme works in entries, `KDVIDEO_MIRROR`,
`TEACHER.WEIGHTS` and `kdvideo zoo release`.
"""

import importlib.util
from typing import Any

from iopath.common.file_io import PathHandler, PathManager
from iopath.common.s3 import S3PathHandler

from kdvideo.zoo.names_of_sources import split_hub_file

__all__ = ["PATH_MANAGER", "ReadOnlyHandler", "check_scheme"]


class ReadOnlyHandler(PathHandler):
    """A handler that copies files to this machine before they are read.

    A subclass implements `_get_local_path`, which says where the files come from.
    """

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> Any:
        if "r" not in mode or "+" in mode:
            raise ValueError(f"{path} can be read only, not opened with mode {mode!r}")
        return open(self._get_local_path(path), mode, buffering)


class _HubPathHandler(ReadOnlyHandler):
    """Reads `hf://OWNER/REPO[@REVISION]/path/in/it` through huggingface_hub and its cache."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["hf://"]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        from huggingface_hub import hf_hub_download

        repository, revision, name = split_hub_file(path)
        return hf_hub_download(repository, name, revision=revision or None, force_download=force)


_PACKAGE_OF = {"s3": "boto3", "hf": "huggingface_hub"}  # optional, because most people need neither

PATH_MANAGER = PathManager()
PATH_MANAGER.register_handler(_HubPathHandler())
if importlib.util.find_spec("boto3"):
    PATH_MANAGER.register_handler(S3PathHandler(profile=None))


def check_scheme(address: str) -> str:
    """Returns an address that can be opened here. It may be a path, too.

    Raises:
        ValueError: nothing handles its scheme, or the package for it is not installed.
    """
    scheme, separator, _ = address.partition("://")
    package = _PACKAGE_OF.get(scheme)
    if separator and package and importlib.util.find_spec(package) is None:
        raise ValueError(f"{address} needs {package}: pip install {package}")
    known = sorted(PATH_MANAGER._path_handlers)
    if separator and not any(address.startswith(prefix) for prefix in known):
        raise ValueError(f"{address}: choose a zoo name, a path, or an address with {', '.join(known)}")
    return address
