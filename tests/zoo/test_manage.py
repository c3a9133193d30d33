"""Where weights are, what is wrong in a zoo, and removing."""

import shutil

import pytest
from faulty_server import FaultyServer
from tiny_zoo import NAME, publish_tiny, weights_file

import kdvideo
from kdvideo.paths import user_zoo
from kdvideo.zoo.fetch import download_path
from kdvideo.zoo.folder import Zoo, gallery_file
from kdvideo.zoo.manage import entry_states, remove_entry, verify_zoo
from kdvideo.zoo.release import release
from kdvideo.zoo.sources import find_entry, resolve_weights


def test_states():
    """Published here, to fetch, by hand; an entry of the user's hides the packaged one of that name."""
    publish_tiny()
    states = {state.entry.name: state for state in entry_states()}
    assert states[NAME].weights == "published"
    assert states["r3d_18.torchvision_k400"].weights == "to fetch"
    assert states["r3d_18.torchvision_k400"].hash_state == "verified"
    assert states["r2plus1d_18.pcl-vcp_k400"].weights == "by hand"
    assert states["r2plus1d_18.pcl-vcp_k400"].hash_state == "unverified"
    publish_tiny("r3d_18.torchvision_k400")
    (state,) = [state for state in entry_states() if state.entry.name == "r3d_18.torchvision_k400"]
    assert (state.zoo, state.weights) == (Zoo.user(), "published")


def test_verify_finds_what_is_wrong():
    """A damaged file, a missing one, one without an entry, an entry that cannot be read."""
    _, damaged = publish_tiny("a.damaged")
    _, missing = publish_tiny("b.missing")
    publish_tiny("c.bad")
    publish_tiny("d.good")
    assert verify_zoo(Zoo.user()) == []
    weights_file(damaged).write_bytes(b"x")
    weights_file(missing).unlink()
    (user_zoo() / "weights" / "stray.safetensors").write_bytes(b"x")
    (user_zoo() / "entries" / "c.bad.json").write_text("{}")
    problems = verify_zoo(Zoo.user())
    assert len(problems) == 5
    for problem, part in zip(
        problems, ("a.damaged", "b.missing", "c.bad", "c.bad-", "stray.safetensors belongs to no entry"), strict=True
    ):
        assert part in problem


def test_the_packaged_zoo_is_right():
    """What ships is whole, and every entry's backbone is there."""
    assert verify_zoo(Zoo.packaged()) == []


def test_removing():
    """Entry and file go, the table follows; the rest stays."""
    publish_tiny()
    publish_tiny("other.one")
    removed = remove_entry(NAME, zoo=Zoo.user())
    assert len(removed) == 2
    assert NAME not in kdvideo.list_models()
    assert NAME not in (user_zoo() / "MODEL_ZOO.md").read_text()
    assert verify_zoo(Zoo.user()) == []
    resolve_weights("other.one")


def test_a_gallery_goes_with_its_weights():
    """It belongs to its entry, is removed with it, and one of weights that have been replaced is."""
    _, entry = publish_tiny()
    gallery = gallery_file(weights_file(entry))
    gallery.touch()
    assert verify_zoo(Zoo.user()) == []
    publish_tiny(config="SEED: 1\n", replace=True)
    assert not gallery.exists()
    (replaced, _) = find_entry(NAME)
    gallery_file(weights_file(replaced)).touch()
    (user_zoo() / "weights" / "stray.gallery.parquet").touch()
    (problem,) = verify_zoo(Zoo.user())
    assert problem.endswith("stray.gallery.parquet belongs to no entry: remove it")
    assert gallery_file(weights_file(replaced)) in remove_entry(NAME, zoo=Zoo.user())
    assert not gallery_file(weights_file(replaced)).exists()


def test_removing_what_was_fetched(server: FaultyServer, tmp_path_factory: pytest.TempPathFactory):
    """An entry of a zoo that others share keeps its entry: only the fetched file goes."""
    _, entry = publish_tiny()
    release([NAME], str(server.folder), url=server.address, zoo=Zoo.user())
    remove_entry(NAME, zoo=Zoo.user())
    shutil.copy(server.folder / f"{NAME}.json", user_zoo() / "entries")
    resolve_weights(NAME)
    assert download_path(entry).exists()
    assert download_path(entry) in remove_entry(NAME, zoo=Zoo.user())
    assert not download_path(entry).exists()


def test_what_cannot_be_removed():
    """What ships with kdvideo, and a name that leads elsewhere."""
    shipped = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
    with pytest.raises(ValueError, match="comes with kdvideo"):
        remove_entry(shipped, zoo=Zoo.user())
    with pytest.raises(ValueError, match="is no zoo name"):
        remove_entry("../entries", zoo=Zoo.user())
    find_entry(shipped)
