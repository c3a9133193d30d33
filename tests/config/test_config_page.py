"""docs/config.md: what is committed is what the keys say, and the commands read what it says."""

import runpy
import sys
from pathlib import Path
from types import FrameType

import pytest
from yacs.config import CfgNode

from kdvideo.config import load_config
from kdvideo.config.keys import KEYS
from kdvideo.engine.build import read_records
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.teach import teach

DOCS = Path(__file__).resolve().parents[2] / "docs"
MADE = runpy.run_path(str(DOCS / "make_config_page.py"))
OWN = ("kdvideo.config", "yacs", "fvcore")  # they read every key, to check and to copy it


def test_the_page_is_fresh():
    """Every key, its default, what is allowed, and what it means."""
    assert (DOCS / "config.md").read_text("utf-8") == MADE["config_page"](), "run python docs/make_config_page.py"
    assert [name for name, key in KEYS.items() if not key.comment] == []


@pytest.fixture
def keys_read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Collects the keys that somebody reads who is no part of the config."""
    sections: dict[int, tuple[str, CfgNode]] = {}  # with the node, so that its id stays its own
    found: set[str] = set()
    get = CfgNode.__getattr__

    def listen(node: CfgNode, name: str) -> object:
        value, frame = get(node, name), sys._getframe(1)
        assert isinstance(frame, FrameType)
        if isinstance(value, CfgNode):
            sections[id(value)] = name, value
        elif not frame.f_globals["__name__"].startswith(OWN):
            found.add(f"{sections[id(node)][0]}.{name}" if id(node) in sections else name)
        return value

    monkeypatch.setattr(CfgNode, "__getattr__", listen)
    return found


def said(command: str) -> set[str]:
    return {name for name in KEYS if f"`{command}`" in MADE["readers"](name)}


@pytest.mark.slow
def test_what_commands_read(tiny_overrides: list[str], keys_read: set[str]):
    """Besides `train`: `data check` its lists, `eval` of a network without weights, `teach`."""
    read_records(load_config(None, tiny_overrides), "train")
    assert keys_read == said("check")
    keys_read.clear()
    cfg = load_config(None, [*tiny_overrides, "MODEL.WEIGHTS", ""])
    evaluate(cfg)
    of_weights = {"MODEL.CLIP_SPEC", "ZOO.DIR"}
    assert keys_read | of_weights == said("eval")
    keys_read.clear()
    teacher = ["TEACHER.WEIGHTS", "r3d_10_w16.pcl-vcp_ucf101mini-s1", "TEACHER.LOSSES", "[embedding_distillation]"]
    teach(load_config(None, [*tiny_overrides, "TASK.NAME", "distill", *teacher, "TEACHER.VIEWS", "1"]))
    assert keys_read | {"TEACHERS"} == said("teach")  # read by the config itself, which gives a TEACHER for each
