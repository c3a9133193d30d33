"""Publishing is killed, not asked, at any moment; the zoo is valid each time."""

import os
import random
import signal
import time
from multiprocessing.process import BaseProcess

import pytest
from tiny_zoo import FORKS, NAME, fork, publish_again_and_again, publish_and_die, publish_tiny

from kdvideo.paths import user_zoo
from kdvideo.zoo.folder import Zoo, read_entry
from kdvideo.zoo.manage import verify_zoo
from kdvideo.zoo.sources import resolve_weights

pytestmark = pytest.mark.slow


def leftovers() -> list[str]:
    """What a kill has left; allowed, and gone after the next publish."""
    zoo = user_zoo()
    found = [path.name for folder in (zoo, zoo / "entries", zoo / "weights") for path in folder.glob(".*.tmp")]
    return found + [problem for problem in verify_zoo(Zoo(zoo)) if problem.endswith("belongs to no entry: remove it")]


def assert_valid() -> None:
    """Every entry can be read and its file is the right one."""
    for path in (user_zoo() / "entries").glob("*.json"):
        resolve_weights(read_entry(path).name)
    assert all(problem.endswith("belongs to no entry: remove it") for problem in verify_zoo(Zoo.user()))


def stop_in_the_middle(process: BaseProcess) -> None:
    """Leaves it stopped with a file half written: by chance alone a quick disk would hardly ever be caught so."""
    assert process.pid is not None
    before = set(leftovers())
    for _ in range(2000):
        os.kill(process.pid, signal.SIGSTOP)
        if set(leftovers()) - before:
            return
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(random.uniform(0.0, 0.005))
    raise AssertionError("two thousand moments, and never in the middle of a publish")


def test_fifty_kills():
    """At seeded random moments, while new names are published and one is replaced; no entry that was there is lost."""
    moments = random.Random(0)
    publish_tiny()
    start = time.monotonic()
    publish_tiny(replace=True)
    longest = 6 * (time.monotonic() - start)  # so that a busy machine publishes between the kills, too
    known: set[str] = {NAME}
    untidy = 0
    for number in range(50):
        ready = FORKS.Event()
        process = fork(publish_again_and_again, number, ready)
        assert ready.wait(60)
        time.sleep(moments.uniform(0.0, longest))
        if number % 10 == 9:
            stop_in_the_middle(process)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert_valid()
        names = {entry.name for entry in Zoo.user().entries()}
        assert known <= names
        known = names
        untidy += bool(leftovers())
    assert len(known) > 25  # it did publish between the kills
    assert untidy >= 5  # and those that were to fall into the middle of one did
    publish_tiny(replace=True)
    assert not [name for name in leftovers() if name.endswith(".tmp")]


def test_a_kill_at_every_access_to_the_file_system():
    """One after the other, so that no moment is left to luck: the entry is whole or absent, then published anew."""
    publish_tiny("other.one")
    for number in range(1, 500):
        process = fork(publish_and_die, "killed.one", number)
        process.join()
        assert_valid()
        names = {entry.name for entry in Zoo.user().entries()}
        assert "other.one" in names
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        if "killed.one" in names:
            (user_zoo() / "entries" / "killed.one.json").unlink()
    assert 15 < number < 499
    publish_tiny("killed.one", replace=True)
    assert leftovers() == []
    assert verify_zoo(Zoo.user()) == []
