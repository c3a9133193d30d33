"""Repositories of the hub: what is fetched, what is recorded, and each way in which it fails, in one line."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
from tiny_teachers import write_teacher

from kdvideo.extras import MissingExtraError
from kdvideo.zoo import create_model, load_pretrained
from kdvideo.zoo.hub import check_repository
from kdvideo.zoo.load import load_model
from kdvideo.zoo.names_of_sources import Repository
from kdvideo.zoo.sources import resolve_weights

hub = pytest.importorskip("huggingface_hub", reason="the extra `teachers` is not installed")
pytest.importorskip("transformers", reason="the extra `teachers` is not installed")

COMMIT = "0123456789abcdef" * 2 + "01234567"
NAME = "someone/tiny-videomae"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A hub with one repository. Returns what it is asked for."""
    snapshot = tmp_path / "models--someone--tiny-videomae" / "snapshots" / COMMIT
    write_teacher("videomae", snapshot, licence="cc-by-nc-4.0")
    asked: list[dict[str, Any]] = []

    def snapshot_download(name: str, **wanted: Any) -> str:
        asked.append({"name": name, **wanted})
        return str(snapshot)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return asked


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Makes the hub fail with an error."""

    def snapshot_download(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)


def answered(kind: str) -> Exception:
    """One of huggingface_hub's errors about an answer of its server."""
    return getattr(hub.errors, kind).__new__(getattr(hub.errors, kind))


@pytest.mark.parametrize("source", [f"hf:{NAME}", f"hf://{NAME}", f"hf:{NAME}@{COMMIT}", f"hf:{NAME}@v1"])
def test_what_is_recorded(source: str, calls: list[dict[str, Any]]):
    """The commit that was got, the hash of the weights, and the licence of the card."""
    model, weights = load_model(source)
    assert weights.name == f"hf:{NAME}@{COMMIT}"
    assert weights.source == source
    assert weights.sha256 == hashlib.sha256((weights.path / "model.safetensors").read_bytes()).hexdigest()
    assert weights.licence == "cc-by-nc-4.0"
    assert list(model.class_names) == ["archery", "bowling", "climbing"]
    (asked,) = calls
    revision = source.partition("@")[2] or None
    assert (asked["name"], asked["revision"], asked["local_files_only"]) == (NAME, revision, False)


def test_what_is_fetched(calls: list[dict[str, Any]]):
    """No code, no pickle, nothing in folders. Every way in leads there."""
    backbone = create_model(f"hf:{NAME}", pretrained=True)
    load_pretrained(backbone, f"hf:{NAME}")
    there = [
        "config.json",
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        "processor_config.json",
        "README.md",
    ]
    not_wanted = ["modeling_x.py", "pytorch_model.bin", "onnx/model.safetensors", "training_args.bin", "tokenizer.json"]
    for asked in calls:
        kept = list(hub.utils.filter_repo_objects([*there, *not_wanted], allow_patterns=asked["allow_patterns"]))
        assert kept == there
    assert len(calls) == 2


def test_offline(calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    """KDVIDEO_OFFLINE takes what the cache has."""
    monkeypatch.setenv("KDVIDEO_OFFLINE", "1")
    assert resolve_weights(f"hf:{NAME}").pinned == f"hf:{NAME}@{COMMIT}"
    assert calls[0]["local_files_only"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "GatedRepoError",
            r"^hf:a/b@v1 is gated: ask for access at https://huggingface.co/a/b, then set HF_TOKEN",
        ),
        ("RepositoryNotFoundError", r"^hf:a/b@v1 is not on the hub, or is private: check the name, or set HF_TOKEN$"),
        (
            "RevisionNotFoundError",
            r"^hf:a/b@v1 has no such revision: choose one of https://huggingface.co/a/b/commits",
        ),
        ("HfHubHTTPError", r"^hf:a/b@v1 cannot be fetched: "),
    ],
)
def test_refusals(kind: str, message: str, monkeypatch: pytest.MonkeyPatch):
    """Each says what to do."""
    failing(monkeypatch, answered(kind))
    with pytest.raises(ValueError, match=message):
        resolve_weights("hf:a/b@v1")


@pytest.mark.parametrize("gated", ["manual", False])
def test_a_gated_repository_is_refused_before_the_queue(gated: str | bool, monkeypatch: pytest.MonkeyPatch):
    """Everybody may read what the hub says of it; its files need leave, which is asked for only where it matters."""
    failing(monkeypatch, hub.errors.LocalEntryNotFoundError("not here"))
    refused: list[str] = []

    def auth_check(self: Any, name: str) -> None:
        refused.append(name)
        raise answered("GatedRepoError")

    info = hub.hf_api.ModelInfo(id="a/b", gated=gated)
    monkeypatch.setattr(hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(hub.HfApi, "auth_check", auth_check, raising=False)
    if not gated:
        check_repository(Repository("a/b", ""))
        assert not refused
        return
    with pytest.raises(ValueError, match=r"^hf:a/b is gated: ask for access at https://huggingface.co/a/b, then set"):
        check_repository(Repository("a/b", ""))
    assert refused == ["a/b"]


def test_no_network(monkeypatch: pytest.MonkeyPatch):
    """Forbidden by a variable, and out of reach."""
    failing(monkeypatch, hub.errors.LocalEntryNotFoundError("Got: ConnectError: [Errno -2]\nAn error happened"))
    with pytest.raises(ValueError, match=r"^hf:a/b is not on this machine and the hub cannot be reached: give"):
        resolve_weights("hf:a/b")
    monkeypatch.setenv("KDVIDEO_OFFLINE", "1")
    told = r"^hf:a/b is not on this machine and KDVIDEO_OFFLINE forbids to fetch it: give the folder of a copy$"
    with pytest.raises(ValueError, match=told):
        resolve_weights("hf:a/b")


def test_the_library_itself_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """huggingface_hub's own error of an empty cache is one of those above."""
    monkeypatch.setenv("KDVIDEO_OFFLINE", "1")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="KDVIDEO_OFFLINE forbids to fetch it"):
        resolve_weights("hf:someone/not-here")


@pytest.mark.parametrize("package", ["transformers", "huggingface_hub"])
def test_without_the_extra(package: str, monkeypatch: pytest.MonkeyPatch):
    """The command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtraError, match=r"is not installed: pip install 'kdvideo\[(teachers|hub)\]'$"):
        resolve_weights(f"hf:{NAME}")


@pytest.mark.usefixtures("calls")
def test_versions_that_read_zeros(monkeypatch: pytest.MonkeyPatch):
    """transformers 5.16.1 and 5.17.0 read VideoMAE's q and v biases as zeros and say nothing."""
    monkeypatch.setattr("transformers.__version__", "5.17.0")
    with pytest.raises(ValueError, match=r"transformers 5.17.0 is too old: .*; pip install 'transformers>=5.18'$"):
        load_model(f"hf:{NAME}")


def test_nothing_is_printed(
    calls: list[dict[str, Any]], capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
):
    """The library's bars and load reports stay away: kdvideo's own report says what was used."""
    with caplog.at_level(logging.INFO, logger="kdvideo"):
        load_model(f"hf:{NAME}")
    assert capfd.readouterr().err.replace("\r", "").strip() == ""
    assert "tensors used" in caplog.text
