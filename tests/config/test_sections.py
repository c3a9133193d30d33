"""Config sections of the user's own: declared, checked, kept in a run, its checkpoint and its entry."""

from pathlib import Path

import pytest

from kdvideo.cli.imports import import_modules
from kdvideo.config import add_section, load_config, settings_id, validate_config
from kdvideo.config.key import Role, at_least, key
from kdvideo.config.keys import KEYS, SECTIONS
from kdvideo.engine.launch import train
from kdvideo.engine.run_folder import RunFolder

FILE = """
from kdvideo.config import add_section
from kdvideo.losses import DistillationLoss
from kdvideo.registry import LOSSES

add_section("MYLOSS", ALPHA=1.0)


@LOSSES.register_as("scaled")
class Scaled(DistillationLoss):
    output = "feature"

    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    @classmethod
    def from_config(cls, cfg, *, student_dim, teacher_dim):
        return cls(cfg.MYLOSS.ALPHA)

    def forward(self, student_feature, teacher_feature):
        return self.alpha * (student_feature.norm(dim=-1) - teacher_feature.norm(dim=-1)).square().mean()
"""


@pytest.fixture(autouse=True)
def _taken_out_again(new_process) -> None:
    """What a test declares goes with it."""


def test_a_key_of_ones_own_is_as_kdvideos():
    """Typed, limited, with a default, and suggested where it is misspelt."""
    add_section("MYLOSS", ALPHA=1.0, NAMES=["a"], COUNT=key(2, Role.RESUMABLE, at_least(1)))
    cfg = load_config(None, ["DATA.ROOT", "/videos", "MYLOSS.ALPHA", "2", "MYLOSS.NAMES", "[b, c]"])
    assert (cfg.MYLOSS.ALPHA, cfg.MYLOSS.NAMES, cfg.MYLOSS.COUNT) == (2.0, ["b", "c"], 2)
    assert (SECTIONS["MYLOSS"].title, KEYS["MYLOSS.ALPHA"].roles) == ("MYLOSS", Role.TRAINING)
    for overrides, message in (
        (["MYLOSS.ALPHA", "much"], "MYLOSS.ALPHA is 'much' of type str; it must be of type float"),
        (["MYLOSS.ALPA", "2"], r"unknown config key 'MYLOSS.ALPA' .* did you mean MYLOSS.ALPHA"),
    ):
        with pytest.raises(ValueError, match=message):
            load_config(None, overrides)
    with pytest.raises(ValueError, match=r"MYLOSS.COUNT is 0; it must be at least 1"):
        validate_config(load_config(None, ["DATA.ROOT", "/videos", "MYLOSS.COUNT", "0"]))


def test_a_section_at_its_default_changes_no_identity():
    """A study's runs and an entry's name stay those of a process that has imported less."""
    before = load_config(None, ["DATA.ROOT", "/videos"]).dump()
    add_section("MYLOSS", ALPHA=1.0)
    after = load_config(None, ["DATA.ROOT", "/videos"]).dump()
    assert before != after
    assert settings_id(before) == settings_id(after)
    other = load_config(None, ["DATA.ROOT", "/videos", "MYLOSS.ALPHA", "2.0"]).dump()
    assert settings_id(other) != settings_id(after)


@pytest.mark.parametrize(
    ("section", "defaults", "message"),
    [
        ("MYLOSS", {}, r"add_section\('MYLOSS'\) has no key: give some"),
        ("myloss", {"ALPHA": 1.0}, r"words in capitals, as MY_LOSS, and 'myloss' is not"),
        ("MYLOSS", {"alpha": 1.0}, r"words in capitals, as MY_LOSS, and 'alpha' is not"),
        ("MYLOSS", {"ALPHA": None}, r"MYLOSS.ALPHA has the default None; it must be a bool, int, float or str"),
        ("MYLOSS", {"NAMES": []}, r"MYLOSS.NAMES has the default \[\]; it must be"),
        ("SOLVER", {"ALPHA": 1.0}, r"the config section SOLVER is taken"),
        ("SEED", {"ALPHA": 1.0}, r"the config section SEED is taken"),
    ],
)
def test_what_cannot_be_declared_is_said(section: str, defaults: dict, message: str):
    with pytest.raises(ValueError, match=message):
        add_section(section, **defaults)


def test_declared_twice():
    """A file may be imported again, but two files may not share a section."""
    add_section("MYLOSS", ALPHA=1.0)
    add_section("MYLOSS", ALPHA=1.0)
    with pytest.raises(ValueError, match="the config section MYLOSS is taken"):
        add_section("MYLOSS", ALPHA=2.0)


def test_kept_in_entry_and_resume(tiny_overrides: list[str], tmp_path: Path, new_process):
    """The loss reads its key; the entry has it; a resumed run refuses another value, and a process without the file."""
    (tmp_path / "my_loss.py").write_text(FILE)
    import_modules([str(tmp_path / "my_loss.py")])
    train(load_config(None, [*tiny_overrides, "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "a.teacher"]))
    options = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", "a.teacher", "TEACHER.LOSSES", "['scaled']"]
    options += ["SOLVER.EPOCHS", "1", "OUTPUT_DIR", str(tmp_path / "student")]
    own = [*options, "MYLOSS.ALPHA", "0.25"]
    result = train(load_config(None, [*tiny_overrides, *own, "ZOO.PUBLISH_AS", "a.student"]))
    assert result.entry.settings["MYLOSS.ALPHA"] == 0.25
    assert RunFolder(tmp_path / "student").config()["MYLOSS"] == {"ALPHA": 0.25}
    with pytest.raises(ValueError, match=r"--resume: MYLOSS.ALPHA is 1.0, the run was started with 0.25"):
        train(load_config(None, [*tiny_overrides, *options]), resume=True)
    new_process()
    with pytest.raises(ValueError, match=r"unknown config key 'MYLOSS.ALPHA' .* --import FILE.py that adds it"):
        load_config(None, [*tiny_overrides, *own])
    without = ["['embedding_distillation']" if word == "['scaled']" else word for word in options]
    with pytest.raises(ValueError, match=r"--resume: the run has the key MYLOSS.ALPHA: --import the FILE.py"):
        train(load_config(None, [*tiny_overrides, *without]), resume=True)
