"""Declared keys: each says what depends on it, and what is said is so."""

from collections.abc import Callable
from typing import Any

import pytest
from fvcore.common.config import CfgNode

from kdvideo.config import flatten_config, get_defaults, load_config, merge_config, validate_config
from kdvideo.config.key import Role, at_least, below, one_of
from kdvideo.config.keys import KEYS, SECTIONS, keys_with_role
from kdvideo.engine.build import build_tuple_config
from kdvideo.engine.checkpoint import check_same_run
from kdvideo.report.matrix import students_of
from kdvideo.report.runs import RunRecord
from kdvideo.zoo.entry import Facts

OTHER_NAMES = {"PRETEXT.NAME": "vcop", "CLIP.MODALITY": "rgb", "SOLVER.SCHEDULE": "cosine"}


def changed(name: str) -> CfgNode:
    """The defaults with another value of one key, of the same type."""
    cfg = load_config(None, ["DATA.ROOT", "/videos"])
    value = flatten_config(cfg)[name]
    others: dict[type, Callable[[Any], Any]] = {
        bool: lambda value: not value,
        int: lambda value: value + 1,
        float: lambda value: value / 2 + 0.07,
        str: lambda value: OTHER_NAMES.get(name, f"{value}x"),
        list: lambda value: value * 2 or [{"WEIGHTS": "t.a"} if name == "TEACHERS" else "x"],
    }
    merge_config(cfg, {name: others[type(value)](value)}, origin="a test")
    return cfg


@pytest.mark.parametrize("name", KEYS)
def test_a_key_says_whether_a_resumed_run_may_change_it(name: str):
    """Each has exactly one of the two roles, so that a new one cannot be forgotten, and is in a known section."""
    assert (Role.TRAINING in KEYS[name].roles) != (Role.RESUMABLE in KEYS[name].roles)
    assert name.rpartition(".")[0] in SECTIONS


def test_no_section_is_empty():
    """The docs would show a heading above nothing."""
    assert {name.rpartition(".")[0] for name in KEYS} == set(SECTIONS)


def test_the_defaults_are_the_declared_ones():
    """In the order of the declaration, and a caller may change its copy."""
    assert list(flatten_config(get_defaults())) == list(KEYS)
    get_defaults().CLIP.MEAN.append(1.0)
    get_defaults().SOLVER.EPOCHS = 1
    assert flatten_config(get_defaults()) == {name: key.default for name, key in KEYS.items()}


def test_the_defaults_are_within_their_limits():
    """All that is missing is a folder of videos."""
    validate_config(load_config(None, ["DATA.ROOT", "/videos"]))


@pytest.mark.parametrize("name", KEYS)
def test_what_a_resumed_run_may_change(name: str):
    """`--resume` takes another value of the keys that say so, and at a constant rate more epochs."""
    checkpoint = {"config": load_config(None, ["DATA.ROOT", "/videos"]).dump(), "epoch_step": 0}
    if name in keys_with_role(Role.RESUMABLE) or name == "SOLVER.EPOCHS":
        check_same_run(changed(name), checkpoint)
    else:
        with pytest.raises(ValueError, match=f"--resume: {name} is"):
            check_same_run(changed(name), checkpoint)


@pytest.mark.parametrize("name", KEYS)
def test_what_changes_a_sample_says_so(name: str):
    """A key that changes how tuples are cut belongs to what a replayed teacher's answers depend on."""

    def described(cfg: CfgNode) -> tuple:
        config = build_tuple_config(cfg)
        return config.layout, type(config.pretext), config.augment, config.short_side

    changes = described(changed(name)) != described(get_defaults())
    drawn_or_placed = name in ("SEED", "DATA.AUGMENT_ON", "AUGMENT.MIXUP")  # drawn apart, or where it is computed
    assert (name in keys_with_role(Role.SAMPLE)) == (changes or drawn_or_placed)


@pytest.mark.parametrize("name", KEYS)
def test_what_sets_students_apart_says_so(name: str):
    """Students of a matrix differ in no key of the role SETTING, and in others they may."""

    def setting(cfg: CfgNode) -> str:
        facts = Facts(
            metrics={"pretext_accuracy": 0.5},
            protocol="",
            teacher=None,
            dataset="videos",
            config=cfg.dump(),
            source="",
            licence="",
        )
        run = RunRecord("run", config=cfg, epochs=[], facts=facts)
        return students_of([], [run])[0].setting

    assert (setting(changed(name)) != setting(get_defaults())) == (name in keys_with_role(Role.SETTING))


def test_what_a_metrics_name_does_not_tell_is_measured():
    """And the rest is told: by the prefix, by the number of clips; SEED alone is not compared."""
    assert set(keys_with_role(Role.UNTOLD)) < set(keys_with_role(Role.MEASURING))
    told = {"SEED", "DATA.NAME", "DATA.SPLIT", "EVAL.FINAL_CLIPS_PER_VIDEO"}
    assert set(keys_with_role(Role.MEASURING)) - set(keys_with_role(Role.UNTOLD)) == told


def test_places_do_not_change_a_run():
    """But for the teacher, which a study that has moved finds in its own folder."""
    places = set(keys_with_role(Role.PLACE))
    assert {"OUTPUT_DIR", "DATA.ROOT", "DATA.LIST_DIR", "ZOO.DIR"} < places
    assert places - set(keys_with_role(Role.RESUMABLE)) == {"TEACHER.WEIGHTS"}


def test_a_study_can_continue_and_compare_its_runs():
    """A longer run begins like a shorter one only at a constant rate, and the report reads every epoch."""
    defaults = flatten_config(get_defaults())
    needed = {name: defaults[name] for name in keys_with_role(Role.STUDY_DEFAULT)}
    assert needed == {"SOLVER.SCHEDULE": "constant", "EVAL.PERIOD": 1, "EVAL.FINAL_CLIPS_PER_VIDEO": 10}


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        (at_least(2), 1, "A.B is 1; it must be at least 2"),
        (below(1), 1.0, "A.B is 1.0; it must be below 1"),
        (one_of("x", "y"), "z", "A.B is 'z'; it must be one of x, y"),
    ],
)
def test_a_limit_says_what_is_allowed(limit: Any, value: Any, message: str):
    """With the key and its value."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        limit.check("A.B", value)
