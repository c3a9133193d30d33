"""The examples in docstrings run, and give what they say."""

import doctest
import inspect
from types import ModuleType

import pytest
import torch
from test_docstrings import MODULES

from kdvideo.registry import HEADS, LOSSES

# tests/data/test_load_clips.py and tests/test_calls.py run them on videos
FILES_NEEDED = ("kdvideo.data.load", "kdvideo.calls", "kdvideo.engine.after_training")
FINDER = doctest.DocTestFinder(exclude_empty=True)
WITH_EXAMPLES = [
    module
    for module in MODULES
    if module.__name__ not in FILES_NEEDED and any(found.examples for found in FINDER.find(module))
]


@pytest.mark.parametrize("module", WITH_EXAMPLES, ids=lambda module: module.__name__)
def test_examples_give_what_they_say(module: ModuleType):
    """Each docstring's example by itself, as in a fresh session that has the module's names."""
    torch.manual_seed(0)
    assert doctest.testmod(module, raise_on_error=False).failed == 0


@pytest.mark.parametrize("names", [HEADS, LOSSES], ids=["heads", "losses"])
def test_each_head_and_loss_has_an_example(names):
    """Whoever looks one up sees how it is called."""
    without = [name for name, found in names if ">>>" not in (inspect.getdoc(found) or "")]
    assert names.names()
    assert not without
