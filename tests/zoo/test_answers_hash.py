"""A folder's settings and a timm model's name decide the answers as its weights do, and are part of their hash."""

import shutil
from pathlib import Path

import pytest

from kdvideo.files import file_sha256
from kdvideo.zoo.sources import Weights, resolve_weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose weights nobody reads here."""
    root = tmp_path / "teacher"
    root.mkdir()
    (root / "model.safetensors").write_bytes(b"weights")
    for name in ("config.json", "preprocessor_config.json"):
        (root / name).write_text('{"num_attention_heads": 2, "image_mean": [0.5, 0.5, 0.5]}')
    return root


@pytest.mark.parametrize(
    "name",
    ["config.json", "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"],
)
def test_other_settings_of_the_same_weights(folder: Path, name: str):
    """No store of the former answers is used for them. A copy elsewhere shares it."""
    before = resolve_weights(str(folder))
    former = before.answers_sha256
    copied = resolve_weights(str(shutil.copytree(folder, folder.parent / "copy")))
    assert copied.answers_sha256 == former
    (folder / name).write_text("{}")
    after = resolve_weights(str(folder))
    assert after.sha256 == before.sha256
    assert after.answers_sha256 != former


def test_the_same_file_under_two_names_of_timm(tmp_path: Path):
    """The tag decides the colours and the pooling."""
    hashes = {
        Weights(tmp_path / "a.pth", "a" * 64, None, f"timm:{name}@{tmp_path / 'a.pth'}").answers_sha256
        for name in ("vit_tiny_patch16_224.augreg_in21k", "vit_tiny_patch16_224.augreg_in1k")
    }
    assert len(hashes) == 2


def test_a_file_that_says_everything_has_its_own_hash(tmp_path: Path):
    """So stores of former versions are found again."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"weights")
    assert resolve_weights(str(path)).answers_sha256 == file_sha256(path)
