"""A web server that misbehaves as it is told, and downloads that do not wait long."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer, serve

from kdvideo.zoo import download


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    """Serves an empty folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    with serve(folder) as running:
        yield running


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> download.DownloadPolicy:
    """Tries three times at once; a server on a busy machine may take its time, and still every request is counted."""
    policy = download.DownloadPolicy(attempts=3, timeout=60.0, first_wait=0.01, longest_wait=0.05)
    monkeypatch.setattr(download, "POLICY", policy)
    return policy


@pytest.fixture
def short_silence(quick: download.DownloadPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes a second of silence for the end, for servers that fall silent."""
    monkeypatch.setattr(download, "POLICY", dataclasses.replace(quick, timeout=1.0))
