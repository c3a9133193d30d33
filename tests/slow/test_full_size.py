"""One real optimizer step of every full-size config, batch 1."""

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "config"))

from recipes import is_full_size, load, recipes, take_step

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("recipe", [recipe for recipe in recipes() if is_full_size(recipe)])
def test_a_full_size_config_takes_a_step(recipe: str):
    """16 x 112 x 112 at width 64: a finite loss, finite weights afterwards."""
    loss, student = take_step(load(recipe), "cpu", batch_size=1)
    assert math.isfinite(loss)
    assert all(parameter.isfinite().all() for parameter in student.parameters())
