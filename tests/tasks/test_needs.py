"""What tasks say that they need of data and teachers, in one place, and what those of earlier versions said."""

from collections.abc import Iterator
from typing import Any

import pytest

from kdvideo.config import load_config, validate_config
from kdvideo.needs import needs_of
from kdvideo.registry import TASKS
from kdvideo.tasks import DistillTask, Needs, SupervisedTask, Task


@pytest.fixture
def named() -> Iterator[Any]:
    """Registers task classes of a user's, and forgets them at the end."""
    names: list[str] = []

    def register(kind: type, **attributes: Any) -> str:
        names.append(f"own_{len(names)}")
        TASKS.register_as(names[-1])(type("Own", (kind,), attributes))
        return names[-1]

    yield register
    for name in names:
        del TASKS._obj_map[name]


def test_those_of_kdvideo():
    assert needs_of("pcl") == Needs()
    assert needs_of("distill") == Needs(teacher="must", losses=True, replay=True, several=True)
    assert needs_of("supervised") == Needs(classes=True, teacher="may", losses=True, replay=True, several=True)
    assert [needs_of(name).clips_per_sample(3) for name in ("pcl", "supervised")] == [3, 1]


def test_booleans_of_earlier_versions(named):
    """They go before what is inherited: an own task from outside is prepared as before."""
    assert needs_of(named(Task, needs_labels=True)) == Needs(classes=True)
    assert needs_of(named(Task, needs_teacher=True)) == Needs(teacher="must")
    assert needs_of(named(Task, takes_teacher=True, takes_replay=True)) == Needs(teacher="may", replay=True)
    assert needs_of(named(SupervisedTask, needs_teacher=True)).teacher == "must"
    own = needs_of(named(DistillTask, takes_losses=False))
    assert own == Needs(teacher="must", replay=True, several=True)


def test_what_is_no_needs(named):
    """One line, before anything is loaded."""
    cfg = load_config(None, ["DATA.ROOT", "/videos", "TASK.NAME", named(Task, needs={"classes": True})])
    with pytest.raises(ValueError, match=r"^TASK\.NAME own_0 has needs \{'classes': True\}: they must be"):
        validate_config(cfg)
