"""The registries: contracts, unknown names, and that they fill themselves."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdvideo import registry
from kdvideo.registry import BACKBONES, DATASETS, HEADS, LOSSES, PRETEXTS, TASKS, NamedRegistry, did_you_mean


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (BACKBONES, {"c3d", "r3d_10", "r3d_18", "r2plus1d_10", "r2plus1d_18"}),
        (HEADS, {"pretext_head", "order_head", "projection_head", "distillation_head", "classification_head"}),
        (LOSSES, {"bank_nce", "batch_nce", "logit_distillation"}),
        (PRETEXTS, {"vcp"}),
        (TASKS, {"pcl", "distill"}),
        (DATASETS, {"ucf101", "hmdb51", "kinetics", "class_folders", "video_lists", "unlabelled"}),
    ],
)
def test_what_is_registered(names: NamedRegistry, expected: set[str]):
    """At least these, and each registry says what its objects are."""
    assert expected <= set(names.names())
    assert names.__doc__ != NamedRegistry.__doc__


FIRST_LOOK_UPS = """
import os, sys
import torch, torchvision  # which each child would import

for names, name in zip(sys.argv[1::2], sys.argv[2::2]):
    if (child := os.fork()) == 0:
        from kdvideo import registry
        os._exit(name not in getattr(registry, names))
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(f"{names} has no {name}")
"""


def test_a_registry_fills_itself():
    """In a process without kdvideo, the first look-up imports what registers kdvideo's own objects."""
    looked_up = ["BACKBONES", "r3d_10", "HEADS", "order_head", "LOSSES", "bank_nce", "PRETEXTS", "vcp"]
    looked_up += ["TASKS", "distill", "DATASETS", "ucf101"]
    command = [sys.executable, "-c", FIRST_LOOK_UPS, *looked_up]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NamedRegistry:
    """A registry whose home nobody has imported yet."""
    names = NamedRegistry("thing", "Things.", home="home_of_things")
    monkeypatch.setattr(registry, "THINGS", names, raising=False)
    (tmp_path / "home_of_things.py").write_text(
        "from kdvideo.registry import THINGS\nassert 'ours' not in THINGS\nTHINGS.register_as('ours')(dict)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "home_of_things", raising=False)
    return names


@pytest.mark.parametrize(
    "finds",
    [
        lambda names: "ours" in names,
        lambda names: names.get("ours") is dict,
        lambda names: names.names() == ["ours"],
        lambda names: dict(names) == {"ours": dict},
        lambda names: "ours" in repr(names),
        lambda names: names.own_module("ours") == "builtins",
    ],
    ids=["in", "get", "names", "dict", "repr", "own_module"],
)
def test_any_look_up_fills_it(finds: Callable[[NamedRegistry], bool], things: NamedRegistry):
    """Whatever is asked first finds what the home registers; the home may look at the registry meanwhile."""
    assert finds(things)


def test_own_names_come_first(things: NamedRegistry):
    """Who takes a name of the home is told so, although nobody has looked anything up before."""
    with pytest.raises(ValueError, match="the thing name 'ours' is taken by builtins"):
        things.register_as("ours")(list)


def test_unknown_names():
    """The near ones, all where none is near; a taken name is refused."""
    names = registry.NamedRegistry("thing", "Things.")
    with pytest.raises(
        ValueError, match=r"unknown thing 'x': choose one of \(none registered\), or `import` FILE.py that has it"
    ):
        names.get("x")
    names.register_as("apple")(1)
    names.register_as("apples")(2)
    with pytest.raises(ValueError, match=r"unknown thing 'aple': did you mean apple or apples\?"):
        names.get("aple")
    with pytest.raises(ValueError, match="unknown thing 'zzz': choose one of apple, apples"):
        names.get("zzz")
    with pytest.raises(ValueError, match=r"the thing name .apple. is taken by"):
        names.register_as("apple")(3)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("r3d18", "r3d_18"),
        ("R3D_10", "r3d_10"),
        ("r3d_11", "r3d_10 or r3d_18"),
        ("x3d", "x3d_m or x3d_s"),  # a beginning
        ("nce", "bank_nce"),  # a part
        ("a", ""),
        ("slow", ""),  # within a part
        ("tiny_net", ""),  # half of its letters are in swin3d_t
        ("no_such", ""),
    ],
)
def test_near_names(name: str, near: str):
    """Spelled alike, or with a part that begins so; nothing else."""
    known = ["r3d_10", "r3d_18", "x3d_m", "x3d_s", "bank_nce", "pyslowfast", "swin3d_t"]
    assert did_you_mean(name, known) == (f"did you mean {near}?" if near else "")
