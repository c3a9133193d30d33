"""TEACHERS: blocks of TEACHER's keys, in yaml and on the command line, checked as TEACHER is."""

from pathlib import Path

import pytest

from kdvideo.config import get_defaults, load_config, settings_id, validate_config
from kdvideo.config.teachers import teacher_configs, with_sampling

TWO = "[{WEIGHTS: a}, {WEIGHTS: b, LOSSES: [embedding_distillation, similarity_distillation], LOSS_WEIGHTS: [1, 2]}]"
JOB = ["DATA.ROOT", "/videos", "TASK.NAME", "distill"]


def test_blocks_have_the_defaults_of_a_teacher():
    """And what they set, with the types of TEACHER."""
    first, second = (one.TEACHER for one in teacher_configs(load_config(None, [*JOB, "TEACHERS", TWO])))
    expected = get_defaults().TEACHER
    expected.WEIGHTS = "a"
    assert first == expected
    assert second.LOSS_WEIGHTS == [1.0, 2.0]
    assert all(isinstance(weight, float) for weight in second.LOSS_WEIGHTS)


def test_yaml_and_overrides_of_single_keys(tmp_path: Path):
    """The config file's list, one key of one block changed, and a block added."""
    (tmp_path / "c.yaml").write_text(f"TEACHERS: {TWO}\n")
    added = ["TEACHERS.2.VIEWS", "3", "TEACHERS.3.WEIGHTS", "007"]
    cfg = load_config(tmp_path / "c.yaml", [*JOB, *added])
    assert [one.TEACHER.WEIGHTS for one in teacher_configs(cfg)] == ["a", "b", "007"]
    assert cfg.TEACHERS[1]["VIEWS"] == 3
    (tmp_path / "again.yaml").write_text(cfg.dump())
    again = load_config(tmp_path / "again.yaml")
    assert again == cfg
    assert settings_id(again.dump()) == settings_id(cfg.dump())


def test_identity():
    """An order of keys is none; another value is another run; no TEACHERS is what it was before the key."""
    one, same, other = (
        settings_id(load_config(None, [*JOB, "TEACHERS", f"[{{{block}}}]"]).dump())
        for block in ("WEIGHTS: a, VIEWS: 2", "VIEWS: 2, WEIGHTS: a", "WEIGHTS: a, VIEWS: 3")
    )
    assert one == same != other
    cfg = load_config(None, [*JOB, "TEACHER.WEIGHTS", "a"])
    before = {key: value for key, value in cfg.items() if key != "TEACHERS"}
    assert settings_id(before) == settings_id(cfg)


def test_auto_becomes_what_it_stands_for():
    """In each block; the stored config is one that can be given again."""
    cfg = load_config(None, [*JOB, "TEACHERS", TWO])
    chosen = with_sampling(cfg, ["shared", "own"])
    assert [one.TEACHER.SAMPLING for one in teacher_configs(chosen)] == ["shared", "own"]
    assert [one.TEACHER.SAMPLING for one in teacher_configs(cfg)] == ["auto", "auto"]
    validate_config(chosen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["TEACHERS.2.LOSSES", "[kd]"], r"^TEACHERS\.2\.LOSSES is \['kd'\]; it must be a list of distillation losses"),
        (["TEACHERS.2.LOSS_WEIGHTS", "[1]"], r"^TEACHERS\.2\.LOSS_WEIGHTS is \[1\.0\]; .* each of TEACHERS\.2\.LOSSES"),
        (["TEACHERS.1.KD_TEMPERATURE", "0"], r"^TEACHERS\.1\.KD_TEMPERATURE is 0\.0; it must be above 0"),
        (["TEACHERS.1.WEIGHTING", "x"], r"^TEACHERS\.1\.WEIGHTING is 'x'; it must be one of fixed, adaptive"),
        (["TEACHERS.1.WEIGHTS", ""], r"^TEACHERS\.1\.WEIGHTS is not set: give a zoo name, a path or a URL"),
        (["TEACHER.WEIGHTS", "c"], r"^TEACHER\.WEIGHTS is 'c', but there are TEACHERS: .* TEACHERS\.1\.WEIGHTS"),
        (["TEACHERS.1.VIEWS", "2", "TEACHERS.2.VIEWS", "3"], r"^VIEWS of TEACHERS are \[2, 3\]: all that have views"),
        (["TASK.NAME", "pcl"], r"^TEACHERS\.1\.WEIGHTS is set, but TASK\.NAME pcl has no teacher: use TASK\.NAME dis"),
        (
            ["PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none"],
            r"^TEACHERS\.1\.LOSSES has logit_distillation, which compares answers to a pretext, but PRETEXT\.NAME",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(options: list[str], message: str):
    """The block's number, the value, what is allowed."""
    with pytest.raises(ValueError, match=message) as error:
        validate_config(load_config(None, [*JOB, "TEACHERS", TWO, *options]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["TEACHERS", "a"], r"^TEACHERS is 'a' in the command line; it must be a list of TEACHER blocks, e\.g\."),
        (["TEACHERS", "[a]"], r"^TEACHERS is \['a'\] in the command line; it must be a list of TEACHER blocks"),
        (["TEACHERS", "[{WEIGHT: a}]"], r"^unknown config key 'TEACHERS\.1\.WEIGHT' .*: did you mean WEIGHTS"),
        (["TEACHERS", "[{VIEWS: x}]"], r"^TEACHERS\.1\.VIEWS is 'x' of type str; it must be of type int"),
        (["TEACHERS.2.WEIGHTS", "a"], r"^TEACHERS\.2\.WEIGHTS from the command line: there are 0 TEACHERS, .*ERS\.1$"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_what_is_no_block(options: list[str], message: str):
    """As it is read."""
    with pytest.raises(ValueError, match=message):
        load_config(None, options)
