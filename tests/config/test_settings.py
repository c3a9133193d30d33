"""Two stored configs say the same if their settings are equal, whatever their texts are."""

from pathlib import Path

import pytest
import simplejson
from fvcore.common.config import CfgNode

from kdvideo.config import get_defaults, load_config, parse_config, plain_config, settings_id, stored_config
from kdvideo.engine.checkpoint import check_same_run
from kdvideo.paths import zoo_root
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.publish import check_publishable

SHIPPED = zoo_root() / "entries" / "r3d_10_w16.pcl-vcp_ucf101mini-s1.json"


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> CfgNode:
    """The defaults of a next version, which has a key more."""
    later = get_defaults()
    later.SOLVER.NEW_KEY = 3
    for module in ("kdvideo.config.settings", "kdvideo.config.load", "kdvideo.config"):
        monkeypatch.setattr(f"{module}.get_defaults", later.clone)
    return later


def test_a_config_comes_back_as_plain_values():
    """Its text, its mapping and the config itself are one run."""
    cfg = load_config(None, ["SEED", "3", "CLIP.MEAN", "[0.1, 0.2, 0.3]"])
    values = plain_config(cfg)
    assert type(values["CLIP"]) is dict
    assert stored_config(cfg.dump()) == stored_config(values) == values == parse_config(cfg.dump())
    assert settings_id(cfg.dump()) == settings_id(values) == settings_id(cfg)


@pytest.mark.parametrize(("key", "value"), [("SEED", "1"), ("OUTPUT_DIR", "elsewhere"), ("CLIP.MEAN", "[0.1,0.2,0.3]")])
def test_another_setting_is_another_run(key: str, value: str):
    """Any key counts."""
    assert settings_id(load_config(None, [key, value])) != settings_id(load_config())


def test_settings_of_speed_make_no_other_run():
    """A config of the version before has 32 and 2, which were the defaults."""
    before = load_config(None, ["EVAL.BATCH_SIZE", "32", "DATA.NUM_WORKERS", "2"])
    assert settings_id(before.dump()) == settings_id(load_config())


def test_texts_that_are_no_config_are_told_apart():
    """Entries come from other people: what is no yaml, or no mapping, is equal to itself alone."""
    texts = ["", "a", "b", "a: [", "[1]"]
    assert len({settings_id(text) for text in [*texts, *texts, "SEED: 1", "SEED: 1\n"]}) == len(texts) + 1


def test_a_key_of_a_next_version_makes_no_other_run(next_version: CfgNode):
    """What was stored before it is the same run as one that has it at its default, and no other."""
    before = load_config(None, ["SEED", "3"])
    del before.SOLVER["NEW_KEY"]
    now = load_config(None, ["SEED", "3"])
    assert now.SOLVER.NEW_KEY == 3
    assert settings_id(before.dump()) == settings_id(now)
    now.SOLVER.NEW_KEY = 4
    assert settings_id(before.dump()) != settings_id(now)


def test_a_next_version_resumes_the_run(next_version: CfgNode):
    """Its checkpoint has the config as text or as a mapping, without the new key."""
    before = load_config()
    del before.SOLVER["NEW_KEY"]
    now = load_config()
    for stored in (before.dump(), plain_config(before)):
        check_same_run(now, {"config": stored, "epoch_step": 0})
        with pytest.raises(ValueError, match=r"--resume: SOLVER\.NEW_KEY is 4, the run was started with 3: keep it"):
            check_same_run(load_config(None, ["SOLVER.NEW_KEY", "4"]), {"config": stored, "epoch_step": 0})


def test_a_next_version_may_publish_the_run_again(next_version: CfgNode, tmp_path: Path):
    """The entry of the same run is no other's, though its text lacks the new key."""
    (tmp_path / "entries").mkdir()
    (tmp_path / "entries" / SHIPPED.name).write_text(SHIPPED.read_text("utf-8"))
    stored = parse_config(simplejson.loads(SHIPPED.read_text("utf-8"))["config"])
    stored["SOLVER"]["NEW_KEY"] = 3
    check_publishable(SHIPPED.stem, zoo=Zoo(tmp_path), replace=False, config=CfgNode(stored).dump())
    stored["SOLVER"]["NEW_KEY"] = 4
    with pytest.raises(ValueError, match="is taken in"):
        check_publishable(SHIPPED.stem, zoo=Zoo(tmp_path), replace=False, config=CfgNode(stored).dump())
