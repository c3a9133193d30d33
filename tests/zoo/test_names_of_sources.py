"""Names of sources of weights, taken apart in one place."""

from pathlib import Path

import pytest

from kdvideo.zoo.names_of_sources import (
    Address,
    EntryName,
    LocalFile,
    LocalFolder,
    Repository,
    TimmModel,
    parse_source,
    split_hub_file,
)

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("source", "meaning"),
    [
        ("hf:MCG-NJU/videomae-base", Repository("MCG-NJU/videomae-base", "")),
        ("hf://MCG-NJU/videomae-base", Repository("MCG-NJU/videomae-base", "")),
        (f"hf:google/vivit-b-16x2@{COMMIT}", Repository("google/vivit-b-16x2", COMMIT)),
        (f"hf://google/vivit-b-16x2@{COMMIT}", Repository("google/vivit-b-16x2", COMMIT)),
        ("hf:apiantonio/vjepa2.1-vit-base-384@refs/pr/1", Repository("apiantonio/vjepa2.1-vit-base-384", "refs/pr/1")),
        ("hf://a/b@refs/pr/3", Repository("a/b", "refs/pr/3")),
        ("hf://a/b@refs/pr/3/weights.pth", Address("hf://a/b@refs/pr/3/weights.pth")),
        ("hf://a/b/weights.pth", Address("hf://a/b/weights.pth")),
        ("hf://a/b@main/in/it/weights.pth", Address("hf://a/b@main/in/it/weights.pth")),
        ("https://somewhere.org/weights.pth", Address("https://somewhere.org/weights.pth")),
        ("timm:vit_small_patch16_dinov3", TimmModel("vit_small_patch16_dinov3", None)),
        ("timm:vit_small_patch16_dinov3.lvd1689m", TimmModel("vit_small_patch16_dinov3.lvd1689m", None)),
        ("timm:resnet18.a1_in1k@/w/own.pth", TimmModel("resnet18.a1_in1k", Path("/w/own.pth"))),
        (f"timm:resnet18.a1_in1k@{COMMIT}", TimmModel("resnet18.a1_in1k", None, COMMIT)),
        ("kdvideo://r3d_10_w16.pcl", EntryName("r3d_10_w16.pcl")),
        ("r3d_10_w16.pcl", EntryName("r3d_10_w16.pcl")),
        ("weights.pth", LocalFile(Path("weights.pth"))),
        ("runs/one/checkpoint.pt", LocalFile(Path("runs/one/checkpoint.pt"))),
    ],
)
def test_what_names_mean(source: str, meaning: object):
    """Each form has one meaning."""
    assert parse_source(source) == meaning


def test_folders_have_a_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder that happens to have an entry's name does not hide the entry."""
    (tmp_path / "teacher").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_source("teacher") == EntryName("teacher")
    assert parse_source("./teacher") == LocalFolder(Path("teacher"))
    assert parse_source(str(tmp_path / "teacher")) == LocalFolder(tmp_path / "teacher")


def test_a_repository_says_its_name():
    """What an entry records is taken again as it stands."""
    for text in ("hf:a/b", "hf:a/b@main", "timm:resnet18", f"timm:resnet18.a1_in1k@{COMMIT}", "timm:resnet18@a.pth"):
        assert str(parse_source(text)) == text


@pytest.mark.parametrize(
    "source", ["hf:", "hf:a", "hf:a/b/c", "hf:a/b@", "hf:../b", "hf:a/b@../c", "hf:a/b@x y", "hf://a"]
)
def test_what_is_no_repository(source: str):
    """The form is named."""
    with pytest.raises(ValueError, match=r"is no repository: write hf:OWNER/REPO"):
        parse_source(source)


@pytest.mark.parametrize("source", ["timm:", "timm:../x", "timm:a/b"])
def test_what_is_no_timm_model(source: str):
    """The form is named."""
    with pytest.raises(ValueError, match=r"is no timm model: write timm:MODEL"):
        parse_source(source)


def test_files_of_repositories():
    """A revision belongs to the repository, as huggingface_hub writes it."""
    assert split_hub_file("hf://a/b/in/it.pth") == ("a/b", "", "in/it.pth")
    assert split_hub_file("hf://a/b@v1/in/it@2.pth") == ("a/b", "v1", "in/it@2.pth")
    assert split_hub_file("hf://a/b@refs/pr/3/in/it.pth") == ("a/b", "refs/pr/3", "in/it.pth")
