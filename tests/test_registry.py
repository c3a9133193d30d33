"""The registries: contracts, and unknown names."""

import pytest

import kdvideo.models
import kdvideo.tasks  # noqa: F401 - fills the registries
from kdvideo import registry
from kdvideo.registry import BACKBONES, DATASETS, HEADS, LOSSES, PRETEXTS, TASKS, NamedRegistry, did_you_mean


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (BACKBONES, {"c3d", "r3d_10", "r3d_18", "r2plus1d_10", "r2plus1d_18"}),
        (HEADS, {"pretext_head", "projection_head", "pcl_head", "distillation_head", "classification_head"}),
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


def test_unknown_names():
    """The near ones, all where none is near; a taken name is refused."""
    names = registry.NamedRegistry("thing", "Things.")
    with pytest.raises(
        ValueError, match=r"unknown thing 'x': choose one of \(none registered\), or --import FILE.py that has it"
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
