"""Entries of an attacker: in a shared zoo, or behind an address that somebody is told to fetch."""

import os
from pathlib import Path
from typing import Any

import pytest
import simplejson
from tiny_zoo import NAME, publish_tiny, weights_file
from torchvision.models.video import R3D_18_Weights

from kdvideo.cli import main
from kdvideo.paths import user_zoo, zoo_root
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo, gallery_file
from kdvideo.zoo.manage import adopt_entry
from kdvideo.zoo.sources import find_entry, resolve_weights

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
MARKUP = "x | y |\n# Owned\n<script>alert(1)</script> [a](javascript:alert(1)) `"
ESCAPE = "\x1b]0;owned\x07"


def values_of(entry: ZooEntry, **changes: Any) -> dict[str, Any]:
    """The JSON of an entry with some values of the attacker's."""
    return {**simplejson.loads(entry.to_json()), **changes}


def plant(**changes: Any) -> ZooEntry:
    """A good entry, which is returned, and the attacker's `evil.a` beside it, a copy with these changes."""
    _, good = publish_tiny()
    text = simplejson.dumps(values_of(good, name="evil.a", **changes), allow_nan=True)
    (user_zoo() / "entries" / "evil.a.json").write_text(text)
    return good


def offer(folder: Path, entry: ZooEntry, **changes: Any) -> str:
    """The path of an entry that somebody is told to fetch."""
    path = folder / "offered.json"
    path.write_text(simplejson.dumps(values_of(entry, urls=["https://evil/x"]) | changes))
    return str(path)


FILES = [
    "",
    "..",
    ".",
    "a\0.pt",
    "-rf.pt",
    ".x.pt",
    "x\n.pt",
    "a?b.pt",
    "C:\\a.pt",
    "a|`b.pt",
    "a\u202etp.pt",
    "x" * 300,
]


@pytest.mark.parametrize("file", [*FILES, "MODEL_ZOO.md", "SHA256SUMS", "a.json"])
def test_files_that_lead_elsewhere(file: str):
    """Not the zoo itself, an option, a line of the table, another file of a release: refused, and `verify` goes on."""
    _, good = publish_tiny()
    with pytest.raises(ValueError, match="names a file outside its zoo"):
        ZooEntry.from_json(simplejson.dumps(values_of(good, file=file)), origin="here")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("params", 10**400),
        ("params", True),
        ("macs", -1),
        ("size", -1),
        ("metrics", {"retrieval_at_1": 10**400}),
        ("metrics", {"retrieval_at_1": True}),
        ("metrics", {"retrieval_at_1": float("inf")}),
        ("classes", [1]),
        ("licence", "\ud800"),
    ],
)
def test_values_that_end_a_table(key: str, value: object):
    """A number that no float holds ended `list`, `render` and `report` in a traceback: now it hides no other entry."""
    plant(**{key: value})
    assert [entry.name for entry in Zoo.user().entries()] == [NAME]
    assert main(["zoo", "list"]) == 0
    assert main(["zoo", "render"]) == 0


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("backbone", []),
        ("head", []),
        ("backbone_kwargs", []),
        ("clip_spec", {"clip_len": "x"}),
        ("clip_spec", {"clip_len": 10**12}),
        ("clip_spec", {"modality": "thermal"}),  # was read as residual
        ("clip_spec", {"std": [0, 1, 1]}),
        ("clip_spec", {"mean": [1]}),
    ],
)
def test_networks_that_cannot_be(part: str, value: Any):
    """Refused when the entry is read, not by what happens to trip over it."""
    _, good = publish_tiny()
    values = values_of(good)
    values["model"][part] = {**values["model"][part], **value} if part == "clip_spec" else value
    with pytest.raises(ValueError, match="here does not describe a network"):
        ZooEntry.from_json(simplejson.dumps(values), origin="here")


@pytest.mark.parametrize("kwargs", [{"width": "x"}, {"width": -1}, {"width": 1 << 60}])
def test_networks_that_torch_cannot_build(kwargs: dict):
    """What torch says of them, in one line."""
    good = plant()
    path = user_zoo() / "entries" / "evil.a.json"
    values = values_of(good, name="evil.a")
    values["model"]["backbone_kwargs"] = kwargs
    path.write_text(simplejson.dumps(values))
    with pytest.raises(ValueError, match="no model can be built from r3d_10 with") as error:
        find_entry("evil.a")[0].model.build()
    assert "\n" not in str(error.value)


def test_entries_that_are_no_files(capsys: pytest.CaptureFixture):
    """A pipe hung every list, a folder or a link to nowhere ended it, and so did a list of lists."""
    publish_tiny()
    entries = user_zoo() / "entries"
    (entries / "folder.a.json").mkdir()
    os.mkfifo(entries / "pipe.a.json")
    (entries / "nowhere.a.json").symlink_to("nowhere")
    (entries / "device.a.json").symlink_to("/dev/zero")
    (entries / "deep.a.json").write_text("[" * 100_000)
    with (entries / "large.a.json").open("wb") as stream:
        stream.truncate(1 << 33)
    assert [entry.name for entry in Zoo.user().entries()] == [NAME]
    assert main(["zoo", "verify", "--zoo", str(user_zoo())]) == 1
    problems = capsys.readouterr().err.splitlines()
    assert len(problems) == 6
    assert sum(line.endswith(" is no file") for line in problems) == 4


def test_removing_an_entry_keeps_what_another_names():
    """An entry that names another's file took that one's weights and gallery with it."""
    good = plant()
    weights = weights_file(good)
    gallery_file(weights).write_text("features")
    assert main(["zoo", "remove", "evil.a"]) == 0
    assert weights.is_file()
    assert gallery_file(weights).is_file()
    assert main(["zoo", "remove", NAME]) == 0
    assert not weights.exists()
    assert not gallery_file(weights).exists()


def test_a_copied_hash_makes_no_same_model(tmp_path: Path):
    """The published hash with other classes or another input replaced the entry without --replace."""
    _, good = publish_tiny()
    model = good.model.to_dict()
    model["clip_spec"]["modality"] = "rgb"
    for changes in ({"classes": ["wrong"]}, {"model": model}, {"sha256": None}):
        with pytest.raises(ValueError, match=f"{NAME} is taken in {user_zoo()} by another model"):
            adopt_entry(offer(tmp_path, good, **changes), zoo=Zoo.user())
    assert find_entry(NAME)[0] == good
    assert adopt_entry(offer(tmp_path, good), zoo=Zoo.user()).entry.urls == ["https://evil/x"]  # the same model again


def test_entries_without_a_hash_are_not_all_the_same(tmp_path: Path):
    """None equals None."""
    _, good = publish_tiny()
    (user_zoo() / "entries" / f"{NAME}.json").write_text(simplejson.dumps(values_of(good, sha256=None)))
    with pytest.raises(ValueError, match="by another model"):
        adopt_entry(offer(tmp_path, good, sha256=None), zoo=Zoo.user())


def test_a_shipped_name_cannot_be_taken(tmp_path: Path):
    """In the user's zoo, which comes first, it would stand for the shipped model ever after."""
    _, good = publish_tiny()
    with pytest.raises(ValueError, match=f"{SHIPPED} is taken in {zoo_root()} by another model"):
        adopt_entry(offer(tmp_path, good, name=SHIPPED), zoo=Zoo.user())
    assert find_entry(SHIPPED).zoo.is_packaged


def test_no_private_file_is_copied(tmp_path: Path, capsys: pytest.CaptureFixture):
    """An entry without a hash may name ~/.ssh/id_rsa as its address: the downloads got a copy that all can read."""
    key = tmp_path / "id_rsa"
    key.write_text("secret")
    key.chmod(0o600)
    _, good = publish_tiny()
    address = offer(tmp_path, good, name="evil.a", file="evil.pt", sha256=None, size=None, urls=[str(key)])
    assert main(["zoo", "fetch", address]) == 2
    assert "without the whole sha256 of that file, so it is not copied" in capsys.readouterr().err
    assert not list(Path(os.environ["KDVIDEO_HOME"]).rglob("evil.pt"))


def test_an_entry_that_is_its_own_address(capsys: pytest.CaptureFixture):
    """It was resolved until Python's stack ended."""
    plant(file="evil.pt", sha256=None, size=None, urls=["kdvideo://evil.a"])
    assert main(["zoo", "fetch", "evil.a"]) == 2
    assert "its entry names 'kdvideo://evil.a', which is an entry" in capsys.readouterr().err


def test_an_entry_cannot_claim_an_address(monkeypatch: pytest.MonkeyPatch):
    """Who asked for torchvision's weights got those of an entry that names torchvision's address beside its own."""
    plant(urls=["https://evil/x", R3D_18_Weights.KINETICS400_V1.url])
    monkeypatch.setenv("KDVIDEO_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"weights of r3d_18\.torchvision_k400: they are not on this machine"):
        resolve_weights("R3D_18_Weights.KINETICS400_V1")


def test_the_table_shows_no_markup():
    """Cells end where they should; no script, no link but to where a browser fetches the file."""
    teacher = {"name": MARKUP, "sha256": MARKUP}
    plant(layout="other", licence=MARKUP, metrics={MARKUP: 0.5}, teacher=teacher, urls=["javascript:alert(1)"])
    assert main(["zoo", "render"]) == 0
    text = (user_zoo() / "MODEL_ZOO.md").read_text("utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("| `evil.a`")]
    assert line.replace("\\|", "").count("|") == 9
    assert "<script" not in text
    assert "\n# Owned" not in text
    assert "[a](" not in text.replace("\\[a\\](", "")
    assert "](javascript" not in text.replace("\\](", "")
    plant(teacher=teacher)
    assert main(["zoo", "render"]) == 0
    assert "<script" not in (user_zoo() / "MODEL_ZOO.md").read_text("utf-8")


def test_no_escape_reaches_the_terminal(capsys: pytest.CaptureFixture):
    """Texts of entries and names of files, in every command that looks at a zoo, also in its errors."""
    plant(config=f"{ESCAPE}A: 1\n", licence=f"{ESCAPE}\u202e", protocol=ESCAPE, metrics={ESCAPE: 0.5})
    (user_zoo() / "weights" / f"a{ESCAPE}.pt").write_text("x")
    (user_zoo() / "entries" / f"evil.b{ESCAPE}.json").write_text("x")
    for command in (
        ["list"],
        ["show", "evil.a", "--config"],
        ["verify", "--zoo", str(user_zoo())],
        ["show", "evil.b0"],
    ):
        main(["zoo", *command])
        out, err = capsys.readouterr()
        assert out + err
        assert not {"\x1b", "\x07", "\u202e"} & set(out + err), command
