"""A web server that misbehaves as it is told, and downloads that do not wait long."""

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
    """Gives up within two seconds, where nothing else is asked for."""
    policy = download.DownloadPolicy(attempts=3, timeout=0.5, first_wait=0.01, longest_wait=0.05)
    monkeypatch.setattr(download, "POLICY", policy)
    return policy
