"""`kdvideo zoo convert`: another project's file becomes an entry that gives the same features."""

from pathlib import Path

import pytest
import torch
from torchvision.models.video import r3d_18

import kdvideo
from kdvideo.cli import main
from kdvideo.paths import user_zoo
from kdvideo.zoo.sources import find_entry


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """torchvision's own network of random weights, saved as torchvision does."""
    torch.manual_seed(0)
    net = r3d_18(num_classes=5).eval()
    path = tmp_path_factory.mktemp("foreign") / "net.pth"
    torch.save(net.state_dict(), path)
    return path, net


def test_convert(foreign: tuple[Path, torch.nn.Module]):
    """The backbone's features and the classifier's logits are torchvision's own."""
    path, net = foreign
    command = [
        "zoo",
        "convert",
        str(path),
        "--name",
        "mine.tv",
        "--clip-spec",
        "torchvision",
        "--licence",
        "BSD-3-Clause",
    ]
    assert main(command) == 0
    entry, _ = find_entry("mine.tv")
    assert (entry.layout, entry.licence, entry.model.head_kwargs) == ("kdvideo", "BSD-3-Clause", {"num_classes": 5})
    assert [file.suffix for file in (user_zoo() / "weights").iterdir()] == [".safetensors"]
    model = kdvideo.create_model("mine.tv", num_classes=5, pretrained=True).eval()
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.allclose(model(clip), net(clip), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_converted(foreign: tuple[Path, torch.nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture):
    """What keys cannot tell is asked for; nothing is written."""
    path, _ = foreign
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    licence = ["--licence", "x"]
    for arguments, message in (
        ([str(path), "--name", "a.b"], "give --licence"),
        ([str(path), "--name", "a.b", *licence], "do not tell mean, std and modality"),
        ([str(path), "--name", "../x", *licence], "is no zoo name"),
        ([str(path), "--name", "a.b", "--clip-spec", "torchvsion", *licence], "did you mean torchvision"),
        ([str(tmp_path / "other.pth"), "--name", "a.b", *licence], "of none of the layouts"),
    ):
        assert main(["zoo", "convert", *arguments]) == 2
        assert message in capsys.readouterr().err, arguments
    assert not user_zoo().exists()
