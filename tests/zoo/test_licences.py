"""The licence of a teacher goes with its students: into entries, table, `zoo show` and what publishing says."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import simplejson
import yaml
from tiny_zoo import FACTS, NAME, SPEC, publish_tiny

from kdvideo.cli import main
from kdvideo.paths import user_zoo, zoo_root
from kdvideo.zoo.convert import convert_weights
from kdvideo.zoo.entry import Teacher, ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.licences import forbids_commerce
from kdvideo.zoo.manage import adopt_entry
from kdvideo.zoo.publish import publish
from kdvideo.zoo.release import release
from kdvideo.zoo.sources import Weights, resolve_weights

PINNED = "hf:MCG-NJU/videomae-base@0123456789abcdef0123456789abcdef01234567"
BOUND: Teacher = {"name": PINNED, "sha256": "ab" * 32, "licence": "cc-by-nc-4.0"}


def publish_taught(teacher: Teacher, name: str = "student.of-it", licence: str = "mit") -> ZooEntry:
    facts = replace(FACTS, teacher=teacher, licence=licence)
    return publish(SPEC.build().eval(), name, zoo=Zoo.user(), spec=SPEC, facts=facts)


@pytest.mark.parametrize(
    "licence",
    [
        *("cc-by-nc-4.0", "CC-BY-NC-SA 4.0", "cc_by_nc_4.0", "fair-noncommercial-research-license", "Non-Commercial"),
        *("research use only (trained on UCF101)", "research-only", "nsclv1", "for academic use"),
        *("seer-license", "apple-amlr", "not for commercial use", "for research purposes only"),
    ],
)
def test_licences_that_forbid(licence: str):
    """In the spellings of model cards, of timm and of the entries that ship."""
    assert forbids_commerce(licence)


@pytest.mark.parametrize(
    "licence",
    [
        *(
            "",
            "mit",
            "Apache-2.0",
            "cc-by-4.0",
            "cc-by-sa-4.0",
            "openrail",
            "dinov3-license",
            "ncsa",
            "none stated",
            "sync",
        ),
        *("Academic Free License v3.0", "academic-free-license", "afl-3.0"),
    ],
)
def test_licences_that_do_not(licence: str):
    """Nothing to warn of, as far as a name tells."""
    assert not forbids_commerce(licence)


def test_what_an_entry_says(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture):
    """Publishing, `zoo show` and the table warn of the teacher's licence, though the student's own is free."""
    with caplog.at_level(logging.WARNING, logger="kdvideo"):
        entry = publish_taught(BOUND)
    warning = f"no commercial use: the licence of its teacher {PINNED} is cc-by-nc-4.0"
    assert caplog.messages == [f"student.of-it: {warning}"]
    assert ZooEntry.from_json(entry.to_json(), origin="here") == entry
    assert main(["zoo", "show", entry.name]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["teacher"], shown["warning"]) == (BOUND, warning)
    table = (user_zoo() / "MODEL_ZOO.md").read_text()
    assert f"`{PINNED}` abababab, cc-by-nc-4.0 |" in table
    assert "No commercial use, as the licence of the teacher forbids it: `student.of-it`." in table


def test_nothing_to_warn_of(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture):
    """A free teacher is named with its licence, and that is all."""
    with caplog.at_level(logging.WARNING, logger="kdvideo"):
        publish_taught({**BOUND, "licence": "apache-2.0"})
    assert main(["zoo", "show", "student.of-it"]) == 0
    shown = capsys.readouterr().out
    assert "apache-2.0" in shown
    assert "warning" not in shown
    assert not caplog.messages
    assert "commercial" not in (user_zoo() / "MODEL_ZOO.md").read_text()


def test_entries_of_before():
    """What an entry without the key says of its teacher is written as it was read; a new one has no empty key."""
    for path in sorted((zoo_root() / "entries").glob("*.json")):
        written = ZooEntry.from_json(path.read_text(), origin=path.name).to_json()
        assert simplejson.loads(written)["teacher"] == simplejson.loads(path.read_text())["teacher"]
    old = publish_taught({"name": "a.b", "sha256": "ab" * 32})
    assert '"teacher": {\n    "name": "a.b",\n    "sha256": "' + "ab" * 32 + '"\n  },' in old.to_json()
    assert ZooEntry.from_json(old.to_json(), origin="here").to_json() == old.to_json()


def test_a_student_of_a_student():
    """What its teacher's teacher forbids goes on, through a conversion, too."""
    taught = publish_taught(BOUND)
    converted = convert_weights(taught.name, "student.converted", zoo=Zoo.user())
    assert converted.teacher == BOUND
    second = resolve_weights(converted.name).as_teacher
    assert second == {
        "name": converted.name,
        "sha256": converted.sha256,
        "licence": "mit; its own teacher: cc-by-nc-4.0",
    }
    assert forbids_commerce(second["licence"])


def test_a_teacher_without_a_licence():
    """The key is left out, so that the entry is as those of before."""
    assert Weights(Path("x"), "ab" * 32, None, "./x").as_teacher == {"name": "./x", "sha256": "ab" * 32}


def test_released_and_fetched(tmp_path: Path):
    """Who fetches a student gets its teacher's licence with it."""
    entry = publish_taught(BOUND)
    names = release([entry.name], str(tmp_path / "release"), url="https://example.org/v1", zoo=Zoo.user())
    assert "cc-by-nc-4.0" in (tmp_path / "release" / "MODEL_ZOO.md").read_text()
    offered = tmp_path / "release" / names[-1]
    assert ZooEntry.from_json(offered.read_text(), origin="there").teacher == BOUND
    Zoo.user().entry_path(entry.name).unlink()
    assert adopt_entry(str(offered), zoo=Zoo.user()).entry.teacher == BOUND


@pytest.mark.parametrize("licence", [5, None, ["mit"], {"a": "mit"}, "\ud800"])
def test_a_licence_that_is_no_text(licence: object, capsys: pytest.CaptureFixture):
    """Refused when the entry is read; the others of its zoo stay."""
    publish_tiny()
    values = simplejson.loads(publish_taught(BOUND).to_json())
    values["teacher"]["licence"] = licence
    (user_zoo() / "entries" / "student.of-it.json").write_text(simplejson.dumps(values))
    assert [entry.name for entry in Zoo.user().entries()] == [NAME]
    assert main(["zoo", "list"]) == 0
    assert main(["zoo", "show", "student.of-it"]) == 2


def test_a_licence_that_is_markup(capsys: pytest.CaptureFixture):
    """It ends no line of the table or of the warning, and moves no cursor."""
    publish_taught({**BOUND, "licence": "nc | x |\n# Owned\n<script>alert(1)</script> [a](javascript:b) \x1b]0;o\x07"})
    table = (user_zoo() / "MODEL_ZOO.md").read_text()
    assert "\n# Owned" not in table
    assert "<script>" not in table
    assert "[a](" not in table
    assert main(["zoo", "show", "student.of-it"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "# Owned" in yaml.safe_load(shown)["warning"]
