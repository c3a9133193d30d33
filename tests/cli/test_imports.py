"""`--import`: a network of the user's own from file to zoo and back, and modules that do not import."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from kdvideo.cli import build_parser, main, submit

NET = """
import torch
from kdvideo.data import ClipSpec
from kdvideo.models import NetBackbone
from kdvideo.registry import BACKBONES
from my_layers import make_layers

@BACKBONES.register()
def own_net(*, width=64, clip_spec=None):
    return NetBackbone(blocks=make_layers(width), num_features=width, clip_spec=clip_spec or ClipSpec())
"""
LAYERS = """
import torch

def make_layers(width):
    return [torch.nn.Conv3d(3, width, 3, stride=2, padding=1), torch.nn.ReLU()]
"""


def test_own_backbone(
    tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, capsys, new_process: Callable[[], None]
):
    """Trained, published as the log says; what builds it says that it needs the import, all else does not."""
    net = tmp_path / "my_net.py"
    net.write_text(NET)
    net.with_name("my_layers.py").write_text(LAYERS)
    own = ["--import", str(net)]
    short = ["MODEL.BACKBONE", "own_net", "SOLVER.EPOCHS", "1", "DATA.NUM_WORKERS", "1"]
    assert main(["train", *own, *tiny_overrides, *short]) == 0
    told = (tmp_path / "run" / "log.txt").read_text().splitlines()[-1].partition("to publish it: ")[2]
    new_process()
    assert main(shlex.split(told.replace(" NAME ", " own.net "))[1:]) == 0
    zoo = ["--zoo", str(tmp_path / "zoo")]
    weights = str(next((tmp_path / "zoo" / "weights").glob("*.safetensors")))
    new_process()
    capsys.readouterr()
    for command in (["list", "own*"], ["list", "--json"], ["show", "own.net"], ["render", str(tmp_path / "zoo")]):
        assert main(["zoo", *command, *(zoo if command[0] != "render" else [])]) == 0
    assert "own.net" in capsys.readouterr().out
    assert main(["doctor"]) == 0
    table = ["--out", str(tmp_path / "f.parquet"), "--clips", "1"]
    for command in (
        ["embed", str(tiny_dataset), "--model", weights, *table],
        ["export", weights, "--format", "torch-export"],
        ["zoo", "publish", str(tmp_path / "run"), "--name", "own.again", *zoo],
        ["zoo", "verify", *zoo],
    ):
        assert main(command) in (1, 2)
        error = capsys.readouterr().err
        assert "--import FILE.py" in error
        assert error.count("\n") == 1
    for command in (
        ["embed", str(tiny_dataset), "--model", weights, *table],
        ["zoo", "publish", str(tmp_path / "run"), "--name", "own.again", *zoo],
        ["zoo", "verify", *zoo],
    ):
        assert main([*command, *own]) == 0
        new_process()
    capsys.readouterr()
    assert main(["zoo", "list", "own*", *own]) == 0
    assert capsys.readouterr().out == "architectures: own_net\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n1 / 0\n", "own.py: line 2: ZeroDivisionError: division by zero"),
        ("def f(:\n", "own.py: SyntaxError: invalid syntax (own.py, line 1)"),
        ("raise SystemExit(3)\n", 'own.py: line 1: SystemExit: 3; put what runs under `if __name__ == "__main__":`'),
        ("import no_such_thing\n", "own.py: line 1: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("raise ValueError('two\\nlines')", "own.py: line 1: ValueError: two lines"),
        (
            "from kdvideo.registry import LOSSES\nLOSSES.register_as('bank_nce')(1)",
            "own.py: line 2: ValueError: the loss name 'bank_nce' is taken by kdvideo.losses.nce: register yours under "
            "another",
        ),
    ],
)
def test_a_module_that_fails(text: str, message: str, tmp_path: Path, capsys, new_process: Callable[[], None]):
    """Which line, and what it said."""
    (tmp_path / "own.py").write_text(text)
    assert main(["zoo", "list", "--import", str(tmp_path / "own.py")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such.py", "no_such.py: there is no such file"),
        ("no_such", "no_such: no such module is installed or in "),
        ("no_such.net", "no_such.net: No module named 'no_such'"),
        ("json.py", "json.py: json is another module's name ("),
    ],
)
def test_a_module_that_is_not_there(
    name: str, message: str, tmp_path: Path, capsys, monkeypatch, new_process: Callable[[], None]
):
    """A file, a module, a module of a package, and a file that Python would not find by its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("")
    assert main(["zoo", "list", "--import", name]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_job_imports_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What each rank of a job is given."""
    monkeypatch.chdir(tmp_path)
    options = build_parser().parse_args(
        ["train", "--import", "own.py", "--import", "a.b", "--submit", "slurm", "SEED", "1"]
    )
    expected = ["train", "--import", str(tmp_path / "own.py"), "--import", "a.b", "SEED", "1"]
    assert submit._arguments(options, None, []) == expected
