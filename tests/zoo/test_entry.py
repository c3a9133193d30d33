"""Entries: names, round trips, and files that are no entries."""

import pytest
from tiny_zoo import NAME, publish_tiny

import kdvideo
from kdvideo.models.uninitialised import Uninitialised
from kdvideo.paths import user_zoo
from kdvideo.zoo.entry import ZooEntry, check_name
from kdvideo.zoo.folder import Zoo
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
        ('"params": ', '"params": 0.', "params is 0.*, it must be of type int"),
        ('"retrieval_at_1": ', '"x": "1", "retrieval_at_1": ', "the metric x is '1', it must be a finite number"),
        ('"teacher": null', '"teacher": {"name": "x"}', "name and sha256 of the teacher, must be strings"),
        ('"urls": [', '"urls": [1', "urls, .* must be strings"),
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
