"""What a source of weights can be called. This is the one place that takes such names apart."""

import re
from pathlib import Path
from typing import NamedTuple

from kdvideo.paths import expand_user
from kdvideo.zoo.entry import WEIGHTS_SUFFIXES

__all__ = [
    "BEST_NAME",
    "CHECKPOINT_NAME",
    "CONFIG",
    "Address",
    "EntryName",
    "LocalFile",
    "LocalFolder",
    "Repository",
    "SourceName",
    "TimmModel",
    "parse_source",
    "source_name",
    "split_hub_file",
]

CONFIG = "config.json"  # what makes a folder a model of the transformers library
CHECKPOINT_NAME = "checkpoint.pt"  # of a run: the newest; older ones are checkpoint.1.pt, checkpoint.2.pt, ..
BEST_NAME = "best.pt"  # of a run: the student of the best epoch, if the run chooses one

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_REPOSITORY = re.compile(rf"({_PART}/{_PART})(?:@([A-Za-z0-9_][A-Za-z0-9_./-]*))?")
_REVISION = r"(?>refs/[^/@]+/[^/@]+|[^/@]+)"  # refs/pr/3 is one; it never ends before its number
_HUB_FILE = re.compile(rf"({_PART}/{_PART})(?:@({_REVISION}))?/(.+)")
_WITH_REFS = re.compile(rf"{_PART}/{_PART}@refs/[^/@]+/[^/@]+")
_TIMM = re.compile(r"([a-z0-9_]+(?:\.[A-Za-z0-9_]+)?)(?:@(.+))?")
_COMMIT = re.compile("[0-9a-f]{40}")


class EntryName(NamedTuple):
    """The name of a zoo's entry, without `kdvideo://`."""

    name: str


class LocalFile(NamedTuple):
    """A file on this machine, which may not exist."""

    path: Path


class LocalFolder(NamedTuple):
    """A folder on this machine: of a run, or with a model of the transformers library."""

    path: Path


class Address(NamedTuple):
    """The address of one file, with its scheme. `hf://OWNER/REPO/FILE` is one."""

    url: str


class Repository(NamedTuple):
    """A whole repository of the Hugging Face Hub.

    Attributes:
        name: OWNER/REPO.
        revision: a branch, tag or commit. "" for the newest.
    """

    name: str
    revision: str

    def __str__(self) -> str:
        return f"hf:{self.name}{f'@{self.revision}' if self.revision else ''}"


class TimmModel(NamedTuple):
    """An image model of the timm library.

    Attributes:
        model: its name there, MODEL or MODEL.TAG.
        file: a file with its weights. None for those of its tag.
        revision: a commit of the tag's repository on the hub. "" for the one that timm names.
    """

    model: str
    file: Path | None
    revision: str = ""

    def __str__(self) -> str:
        at = self.revision or self.file
        return f"timm:{self.model}{f'@{at}' if at else ''}"


SourceName = EntryName | LocalFile | LocalFolder | Address | Repository | TimmModel


def parse_source(source: str) -> SourceName:
    """Takes a source of weights apart. It looks at the disk only to tell a folder from a file.

    Raises:
        ValueError: it begins as a repository or a timm model but is none.

    Example:
        >>> parse_source("hf:facebook/vjepa2-vitl-fpc64-256@main")
        Repository(name='facebook/vjepa2-vitl-fpc64-256', revision='main')
        >>> parse_source("hf://facebook/vjepa2-vitl-fpc64-256/model.safetensors")
        Address(url='hf://facebook/vjepa2-vitl-fpc64-256/model.safetensors')
        >>> parse_source("timm:vit_small_patch16_dinov3.lvd1689m")
        TimmModel(model='vit_small_patch16_dinov3.lvd1689m', file=None, revision='')
        >>> parse_source("r3d_10_w16.pcl-vcp_ucf101mini-s1")
        EntryName(name='r3d_10_w16.pcl-vcp_ucf101mini-s1')
    """
    if source.startswith("hf:"):
        return _parse_hub(source)
    if source.startswith("timm:"):
        return _parse_timm(source)
    scheme, separator, rest = source.partition("://")
    if scheme == "kdvideo" and separator:
        return EntryName(rest)
    if separator:
        return Address(source)
    if "/" not in source and not source.endswith(WEIGHTS_SUFFIXES):
        return EntryName(source)
    path = expand_user(source)
    return LocalFolder(path) if path.is_dir() else LocalFile(path)


def source_name(source: str | Path) -> str:
    """Returns a source of weights as text. A `Path` always means a file or folder, also without a slash.

    Example:
        >>> source_name(Path("my-teacher"))
        './my-teacher'
    """
    text = str(source)
    return text if isinstance(source, str) or text.startswith(("/", "~")) else f"./{text}"


def split_hub_file(address: str) -> tuple[str, str, str]:
    """Returns repository, revision ("" for the newest) and file of `hf://OWNER/REPO[@REVISION]/FILE`.

    Raises:
        ValueError: it is no such address.
    """
    found = _HUB_FILE.fullmatch(address.removeprefix("hf://"))
    if found is None:
        raise ValueError(f"{address} names no file of a repository: write hf://OWNER/REPO/FILE")
    name, revision, file = found.groups(default="")
    return name, revision, file


def _parse_hub(source: str) -> SourceName:
    has_slashes = source.startswith("hf://")
    rest = source.removeprefix("hf://" if has_slashes else "hf:")
    if has_slashes and rest.count("/") > 1 and not _WITH_REFS.fullmatch(rest):
        split_hub_file(source)
        return Address(source)
    found = _REPOSITORY.fullmatch(rest)
    if found is None or ".." in rest:
        raise ValueError(f"{source} is no repository: write hf:OWNER/REPO, with @REVISION for a commit, tag or branch")
    name, revision = found.groups(default="")
    return Repository(name, revision)


def _parse_timm(source: str) -> TimmModel:
    found = _TIMM.fullmatch(source.removeprefix("timm:"))
    if found is None:
        raise ValueError(f"{source} is no timm model: write timm:MODEL, with .TAG, @FILE or @COMMIT for its weights")
    model, file = found.groups()
    if file is not None and _COMMIT.fullmatch(file):
        return TimmModel(model, None, file)
    return TimmModel(model, None if file is None else expand_user(file))
