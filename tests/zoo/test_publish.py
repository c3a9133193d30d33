"""Publishing: names that are taken, processes at once, kills."""

import pytest
import torch
from safetensors.torch import load, save
from tiny_zoo import FORKS, NAME, fork, hold_lock, publish_tiny

from kdvideo.paths import user_zoo
from kdvideo.zoo import folder
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.publish import _sort_metadata
from kdvideo.zoo.render import render_catalogue
from kdvideo.zoo.sources import find_entry, resolve_weights


def test_names_that_are_taken():
    """Refused unless told to replace; replacing removes the old file."""
    _, first = publish_tiny()
    with pytest.raises(ValueError, match=f"{NAME} is taken in .*: choose another name or use `replace`"):
        publish_tiny(config="SEED: 1\n")
    _, second = publish_tiny(config="SEED: 1\n", replace=True)
    assert first.file != second.file
    assert [path.name for path in (user_zoo() / "weights").iterdir()] == [second.file]
    assert [entry.sha256 for entry in Zoo.user().entries()] == [second.sha256]


def test_sixteen_processes_publish_at_once():
    """No entry is lost, each file is what its entry says, the table has them all."""
    names = [f"same.time{number:02}" for number in range(16)]
    processes = [fork(publish_tiny, name) for name in names]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 16
    assert [entry.name for entry in Zoo.user().entries()] == names
    for name in names:
        resolve_weights(name)
    assert (user_zoo() / "MODEL_ZOO.md").read_text() == render_catalogue(Zoo.user().entries())


def test_what_a_kill_left_goes_at_the_next_publish():
    """Temporary files, and weights of the same name without an entry; nobody else's."""
    _, other = publish_tiny("other.one")
    zoo = user_zoo()
    left = [
        *(zoo / "entries" / ".x.json.abc.tmp", zoo / "weights" / ".x.safetensors.abc.tmp", zoo / ".MODEL_ZOO.md.x.tmp"),
        zoo / "weights" / f"{NAME}-01234567.safetensors",
    ]
    for path in left:
        path.write_text("half")
    _, entry = publish_tiny()
    assert not any(path.exists() for path in left)
    assert sorted(path.name for path in (zoo / "weights").iterdir()) == sorted([other.file, entry.file])


def test_a_lock_that_is_held_too_long(monkeypatch: pytest.MonkeyPatch):
    """Said once when the wait begins, and one error with the lock's path at its end."""
    monkeypatch.setattr(folder, "_LOCK_SECONDS", 0.2)
    user_zoo().mkdir(parents=True)
    held = FORKS.Event()
    process = fork(hold_lock, user_zoo() / ".lock", held)
    try:
        assert held.wait(60)
        with pytest.raises(TimeoutError, match=r"another process publishes into .* its lock is .*\.lock: try again"):
            publish_tiny()
    finally:
        process.kill()
        process.join()
    publish_tiny()  # the system lifts a dead process's lock


def test_the_same_weights_have_the_same_hash():
    """A classifier's file has two metadata keys, which the library writes in any order."""
    state, header = {"head.bias": torch.arange(3.0)}, {"kdvideo": '{"a": "\\u00e9"}', "classes": '["β", "a\\"b"]'}
    files = {_sort_metadata(save(state, metadata=header)) for _ in range(12)}
    assert len(files) == 1
    (content,) = files
    assert torch.equal(load(content)["head.bias"], state["head.bias"])
    assert content[8:].startswith(b'{"__metadata__":{"classes":')


def test_a_shipped_file_stays_as_it_is():
    """Files with one key have been published, and their names have their hashes."""
    content = find_entry("r3d_10_w16.pcl-vcp_ucf101mini-s1").path.read_bytes()
    assert _sort_metadata(content) == content
