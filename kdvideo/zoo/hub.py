"""Fetches whole repositories of the Hugging Face Hub: the files of a model, never code and never a pickle."""

import re
from pathlib import Path
from typing import NamedTuple

from kdvideo.extras import extra_imports
from kdvideo.zoo.fetch import is_offline
from kdvideo.zoo.names_of_sources import Repository

__all__ = ["FetchedRepository", "check_repository", "fetch_repository"]

# Without a leading star no pattern matches in folders, where exports and older weights lie.
_PATTERNS = (
    "config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "README.md",
)
_ASK_SECONDS = 10.0


class FetchedRepository(NamedTuple):
    """A repository's files on this machine, and the commit that they are from."""

    path: Path
    commit: str


def fetch_repository(repository: Repository) -> FetchedRepository:
    """Fetches a repository into the cache of huggingface_hub, or finds it there.

    Its own settings hold: HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE. KDVIDEO_OFFLINE forbids the network, too.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ValueError: the repository or its revision is missing, gated, or out of reach.
    """
    _require_libraries()
    try:
        path = _snapshot(repository, local_files_only=is_offline())
    except Exception as error:  # huggingface_hub's, those of its HTTP client, of the disk
        raise _explained(error, repository) from None
    commit = Path(path).name
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise ValueError(f"{repository}: huggingface_hub put it into {path}, whose name is no commit")
    return FetchedRepository(Path(path), commit)


def check_repository(repository: Repository) -> None:
    """Refuses a repository that is neither on this machine nor on the hub, or whose files the hub does not give.

    The hub is asked, and nothing is fetched.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ValueError: says the same as `fetch_repository`.
    """
    _require_libraries()
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        try:
            _snapshot(repository, local_files_only=True)
        except LocalEntryNotFoundError:
            if is_offline():
                raise
            api = HfApi()
            info = api.model_info(repository.name, revision=repository.revision or None, timeout=_ASK_SECONDS)
            if info.gated and hasattr(api, "auth_check"):  # anybody may read about it; older libraries cannot ask more
                api.auth_check(repository.name)
    except Exception as error:  # huggingface_hub's, those of its HTTP client, of the disk
        raise _explained(error, repository) from None


def _require_libraries() -> None:
    """Raises MissingExtraError if a library is missing, at once and not after the download."""
    with extra_imports():
        import huggingface_hub  # noqa: F401
        import transformers  # noqa: F401


def _snapshot(repository: Repository, *, local_files_only: bool) -> str:
    from huggingface_hub import snapshot_download

    return snapshot_download(
        repository.name,
        revision=repository.revision or None,
        allow_patterns=list(_PATTERNS),
        local_files_only=local_files_only,
    )


def _explained(error: Exception, repository: Repository) -> ValueError:
    """Returns one line that says why a repository cannot be fetched, and what to do."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repository.name}"
    line = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, errors.GatedRepoError):
        why = f"is gated: ask for access at {page}, then set HF_TOKEN or run `hf auth login`"
    elif isinstance(error, errors.RepositoryNotFoundError):
        why = "is not on the hub, or is private: check the name, or set HF_TOKEN"
    elif isinstance(error, errors.RevisionNotFoundError):
        why = f"has no such revision: choose one of {page}/commits/main"
    elif isinstance(error, errors.LocalEntryNotFoundError) and (is_offline() or "outgoing traffic" in line):
        setting = "KDVIDEO_OFFLINE" if is_offline() else "HF_HUB_OFFLINE"
        why = f"is not on this machine and {setting} forbids to fetch it: give the folder of a copy"
    elif isinstance(error, errors.LocalEntryNotFoundError | ConnectionError):
        why = f"is not on this machine and the hub cannot be reached: give the folder of a copy ({line})"
    else:
        why = f"cannot be fetched: {line}"
    return ValueError(f"{repository} {why}")
