"""The registries: contracts, and unknown names."""

import pytest

import kdvideo.models
import kdvideo.tasks  # noqa: F401 - fills the registries
from kdvideo import registry
from kdvideo.registry import BACKBONES, DATASETS, HEADS, LOSSES, PRETEXTS, TASKS, NamedRegistry


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
    """The close ones first, all where none is close; a taken name is refused."""
    names = registry.NamedRegistry("thing", "Things.")
    with pytest.raises(ValueError, match="unknown thing 'x': choose one of \\(none registered\\)"):
        names.get("x")
    names.register_as("apple")(1)
    names.register_as("apples")(2)
    with pytest.raises(ValueError, match=r"unknown thing 'aple': did you mean apple or apples\?"):
        names.get("aple")
    with pytest.raises(ValueError, match="unknown thing 'zzz': choose one of apple, apples"):
        names.get("zzz")
    with pytest.raises(ValueError, match=r"the thing name .apple. is taken by"):
        names.register_as("apple")(3)
