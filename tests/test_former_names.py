"""Modules and objects that have moved can still be imported under their former names."""

import sys
from importlib import import_module

import pytest
import torch

import kdvideo
from kdvideo.former_names import FORMER_ATTRIBUTES, FORMER_NAMES


@pytest.mark.parametrize("former", FORMER_NAMES)
def test_a_former_name_is_the_module_of_today(former: str):
    """The very module, so that what somebody registers or replaces in it counts; a warning says its name."""
    sys.modules.pop(former, None)
    with pytest.warns(FutureWarning, match=f"{former} is {FORMER_NAMES[former]} now"):
        module = import_module(former)
    assert module is import_module(FORMER_NAMES[former])


def test_no_former_name_is_one_of_today():
    """A former name that is a module again would never be asked for."""
    modules = {name for name, module in sys.modules.items() if getattr(module, "__name__", None) == name}
    assert kdvideo.__name__ in modules
    assert not modules & set(FORMER_NAMES)


@pytest.mark.parametrize(
    ("module", "former"), [(module, former) for module, names in FORMER_ATTRIBUTES.items() for former in names]
)
def test_a_former_name_in_a_module_is_the_object_of_today(module: str, former: str):
    """The very object, and one warning that says its name and the line that asks."""
    home, _, name = FORMER_ATTRIBUTES[module][former].rpartition(".")
    with pytest.warns(FutureWarning, match=f"^{module}.{former} is {home}.{name} now; the former") as caught:
        found = getattr(import_module(module), former)
    assert found is getattr(import_module(home), name)
    assert [warning.filename for warning in caught] == [__file__]


def test_other_names_are_no_former_names():
    """A module with former names answers for unknown ones as any other."""
    with pytest.raises(AttributeError, match=r"module 'kdvideo\.models' has no attribute 'no_such'"):
        _ = import_module("kdvideo.models").no_such


def test_former_builders_build_what_they_built():
    """A head and two backbones."""
    clip_spec = kdvideo.ClipSpec(clip_len=8, size=32)
    with pytest.warns(FutureWarning):
        from kdvideo.models import PCLHead, create_pcl_head, create_pretext_head, create_r2plus1d, create_r3d
    head = create_pcl_head(8, num_classes=6, projection_dim=16, pretext_head="order_head")
    assert isinstance(head, PCLHead)
    outputs = head(torch.randn(2, 3, 8))
    assert (outputs["pretext_logits"].shape, outputs["z"].shape) == ((2, 6), (2, 2, 16))
    assert create_pretext_head(8)(torch.randn(2, 3, 8)).shape == (2, 5)
    for create, name in ((create_r3d, "r3d_18"), (create_r2plus1d, "r2plus1d_18")):
        built = create(depth=18, width=4, clip_spec=clip_spec).state_dict()
        wanted = kdvideo.create_model(name, width=4, clip_spec=clip_spec).state_dict()
        assert {key: value.shape for key, value in built.items()} == {key: value.shape for key, value in wanted.items()}
    with pytest.raises(ValueError, match="unknown backbone 'r3d_50'"):
        create_r3d(depth=50)
