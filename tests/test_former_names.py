"""Modules that have moved can still be imported under their former names."""

import sys
from importlib import import_module

import pytest

import kdvideo
from kdvideo.former_names import FORMER_NAMES


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
