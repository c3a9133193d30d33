"""Downloads through a proxy: who does not answer is named."""

import socket
import urllib.request
from pathlib import Path

import pytest

from kdvideo.zoo import download
from kdvideo.zoo.download import download as fetch

pytestmark = pytest.mark.usefixtures("quick")
URL = "http://weights.example.org/a.pth"


def use_proxy(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Sets the environment, which urllib reads when kdvideo is imported."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.setattr(download, "_OPENER", urllib.request.build_opener())


def test_a_proxy_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is not the server that refused; the proxy's password is nobody's business."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{free.getsockname()[1]}"
        use_proxy(monkeypatch, f"http://me:secret@{address}")
        with pytest.raises(ValueError, match="Connection refused") as caught:
            fetch(URL, tmp_path / "a.pth")
    assert f"{URL} cannot be downloaded" in str(caught.value)
    assert f"(through the proxy {address}, which http_proxy names)" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_proxy_without_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The name that is not known is the proxy's."""
    use_proxy(monkeypatch, "http://no-such-proxy.invalid:3128")
    with pytest.raises(ValueError, match=r"no-such-proxy\.invalid:3128"):
        fetch(URL, tmp_path / "a.pth")


def test_no_proxy_is_not_mentioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither where there is none, nor for hosts that are excepted."""
    use_proxy(monkeypatch, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "_OPENER", urllib.request.build_opener())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match="Connection refused") as caught:
            fetch(f"http://127.0.0.1:{free.getsockname()[1]}/a.pth", tmp_path / "a.pth")
    assert "proxy" not in str(caught.value)
