"""Entries: names, round trips, and files that are no entries."""

from dataclasses import asdict
from typing import get_type_hints

import pytest
import simplejson
from tiny_zoo import FACTS, NAME, publish_tiny

import kdvideo
from kdvideo.models.uninitialised import Uninitialised
from kdvideo.paths import user_zoo
from kdvideo.zoo.entry import Facts, ZooEntry, check_name
from kdvideo.zoo.folder import Zoo, read_entry
from kdvideo.zoo.formats import LAYOUTS
from kdvideo.zoo.sources import resolve_weights


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "a..b", "", "x" * 151, "a b"])
def test_names_that_lead_elsewhere(name: str):
    """A name becomes a file name, so it holds nothing of a path."""
    with pytest.raises(ValueError, match="is no zoo name"):
        check_name(name)
    with pytest.raises(ValueError, match="is no zoo name"):
        resolve_weights(f"kdvideo://{name}")


def test_entry_round_trip():
    """What is written is read back; an entry that points outside its zoo or lacks a key is refused."""
    _, entry = publish_tiny()
    text = entry.to_json()
    assert ZooEntry.from_json(text, origin="here") == entry
    with pytest.raises(ValueError, match="here names a file outside its zoo"):
        ZooEntry.from_json(text.replace(entry.file, "../" + entry.file), origin="here")
    with pytest.raises(ValueError, match=r"missing or unknown \['mac_s', 'macs'\]"):
        ZooEntry.from_json(text.replace('"macs"', '"mac_s"'), origin="here")
    with pytest.raises(ValueError, match="here is no zoo entry"):
        ZooEntry.from_json("{", origin="here")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"sha256": "', '"sha256": "x', "sha256 is 'x.*', it must be 8 to 64 hex digits"),
        ('"name": "r3d', '"name": "c3d', "is the entry of 'c3d_10_w4.pcl-vcp_tiny-s1': its file must be named"),
        ('"params": ', '"params": 0.', "params is 0.*, it must be a whole number from 0"),
        ('"retrieval_at_1": ', '"x": "1", "retrieval_at_1": ', r"metrics\.x is '1', it must be a finite number"),
        ('"teacher": null', '"teacher": {"name": "x"}', r"teacher\.sha256 is None, it must be a text"),
        ('"urls": [', '"urls": [1', r"urls\[0\] is 1, it must be a text"),
        ('"backbone": ', '"backbones": ', "does not describe a network of this version"),
    ],
)
def test_one_bad_entry_does_not_hide_the_others(old: str, new: str, message: str):
    """It is refused by name and left out of lists."""
    publish_tiny()
    publish_tiny("good.one")
    path = user_zoo() / "entries" / f"{NAME}.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        resolve_weights(NAME)
    names = kdvideo.list_models("*.*")
    assert "good.one" in names
    assert NAME not in names


def test_packaged_entries_come_back_byte_for_byte():
    """Reading an entry and writing it again changes nothing; keys that it lacks have their defaults."""
    paths = Zoo.packaged().entry_paths()
    assert paths
    for path in paths:
        text = path.read_text("utf-8")
        written = simplejson.loads(read_entry(path).to_json())
        lacking = [written.pop(key) for key in written.keys() - simplejson.loads(text).keys()]
        assert simplejson.dumps(written, indent=2) + "\n" == text, path.name
        assert all(value in ("kdvideo", "", None, []) for value in lacking), path.name


def test_facts_of_earlier_runs_are_read():
    """`facts.json` of an unsupervised run had no classes; keys of their own and other types are refused."""
    values = {**asdict(FACTS), "teacher": {"name": "a", "sha256": "b"}}
    del values["classes"]
    assert Facts.from_json(simplejson.dumps(values), origin="here") == Facts(**values)
    assert Facts.from_json(FACTS.to_json(), origin="here") == FACTS
    for changes, message in (
        ({"x": 1}, r"missing or unknown \['x'\]"),
        ({"licence": None}, "licence is None, it must be a text"),
        ({"metrics": {"a": True}}, r"metrics\.a is True, it must be a finite number"),
        ({"teacher": {"name": "a"}}, r"teacher\.sha256 is None"),
        ({"teacher": 1}, "teacher is 1, it must be a mapping or null"),
        ({"classes": [1]}, r"classes\[0\] is 1, it must be a text"),
    ):
        with pytest.raises(ValueError, match=f"here holds no facts of a run.*: {message}"):
            Facts.from_json(simplejson.dumps({**values, **changes}), origin="here")


def test_facts_are_keys_of_an_entry():
    """An entry takes over every fact under the same name and type."""
    hints = get_type_hints(ZooEntry)
    assert {name: hints[name] for name in get_type_hints(Facts)} == get_type_hints(Facts)


def test_packaged_entries():
    """Each builds its architecture with the parameters that it names, and is of a layout that can be read."""
    layouts = {"kdvideo": "", **{layout.name: layout.backbone for layout in LAYOUTS}}
    for entry in Zoo.packaged().entries():
        with Uninitialised():
            backbone = entry.model.build_backbone()
        assert sum(parameter.numel() for parameter in backbone.parameters()) == entry.params, entry.name
        assert entry.layout in layouts, entry.name
        assert entry.name.startswith(entry.model.backbone), entry.name
        assert entry.licence, entry.name
        assert entry.urls or entry.manual or entry.layout == "kdvideo", entry.name
        assert all(0 < value <= 1 for value in entry.metrics.values()), entry.name
