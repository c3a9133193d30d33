"""What has been reached of docs/design.md's counts stays reached."""

import pytest
from counts import ALLOWED, COMMAND, SETTING, TAKEN_APART, count

MAY_BE_NONE = ("assert isinstance", "raises that name settings", "times zoo_dir")


@pytest.fixture(scope="module")
def counted() -> dict[str, float]:
    """Of the package as it is."""
    return count()


@pytest.mark.parametrize("name", ALLOWED)
def test_a_count_stays_below_its_limit(counted: dict[str, float], name: str):
    """`python tests/counts.py` names the places."""
    assert counted[name] <= ALLOWED[name]


def test_every_count_has_a_limit(counted: dict[str, float]):
    """And none counts nothing at all, but for what may be gone."""
    assert set(counted) == set(ALLOWED)
    assert all(number > 0 for name, number in counted.items() if name not in MAY_BE_NONE)


@pytest.mark.parametrize(
    ("text", "names_a_setting"),
    [
        ("CLIP.LENGTH is 6", True),
        ("give --licence", True),
        ("`clip_len` is 6", False),
        ("`kdvideo zoo fetch x.y --from FILE` takes a copy", False),
        ("KDVIDEO_HOME is no folder", False),
    ],
)
def test_what_names_a_setting(text: str, names_a_setting: bool):
    """A config key or a flag; a whole command that anybody can run is none."""
    assert bool(SETTING.search(COMMAND.sub("", text))) == names_a_setting


@pytest.mark.parametrize("line", ['metric.removeprefix("knn_")', 'if "retrieval" in metric:', 're.search("x", metric)'])
def test_what_takes_a_metrics_name_apart(line: str):
    """As text, in any place but the one that knows how names are made."""
    assert TAKEN_APART.search(line)
