"""Every Python block of the README and of the pages in docs/ runs."""

import re
from pathlib import Path

import pytest

import kdvideo.data
import kdvideo.losses
import kdvideo.models  # noqa: F401 - all three fill registries, before a test restores them
from kdvideo.registry import BACKBONES, LOSSES, PRETEXTS

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = {
    f"{page.relative_to(ROOT)}-{number}": block
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL))
}


@pytest.mark.parametrize("where", BLOCKS)
def test_block(where: str, monkeypatch: pytest.MonkeyPatch):
    """As a reader would paste it; what it registers is taken out again."""
    for registry in (BACKBONES, LOSSES, PRETEXTS):
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))
    exec(compile(BLOCKS[where], where, "exec"), {})


def test_readme_has_its_recipes():
    """Loading and registering."""
    assert {"README.md-0", "README.md-1"} <= set(BLOCKS)
