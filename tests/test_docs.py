"""Every Python block of the README runs."""

import re
from pathlib import Path

import pytest

from kdvideo.registry import BACKBONES

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_readme_block(number: int, monkeypatch: pytest.MonkeyPatch):
    """As a reader would paste it; what it registers is taken out again."""
    monkeypatch.setattr(BACKBONES, "_obj_map", dict(BACKBONES._obj_map))
    exec(compile(BLOCKS[number], f"README block {number}", "exec"), {})


def test_readme_has_its_recipes():
    """Loading and registering."""
    assert len(BLOCKS) == 2
