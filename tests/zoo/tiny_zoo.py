"""A tiny published model for the tests of the zoo."""

import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.files import locked
from kdvideo.models.pcl import PCLModel
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.entry import Facts, ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.publish import publish
from kdvideo.zoo.sources import resolve_weights

# Processes that have imported torch already: a kill or a race is about milliseconds, not about imports.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["kdvideo.zoo.publish"])

NAME = "r3d_10_w4.pcl-vcp_tiny-s1"
SPEC = ModelSpec(
    backbone="r3d_10",
    backbone_kwargs={"width": 4},
    clip_spec=ClipSpec(clip_len=4, size=32),
    head="pcl_head",
    head_kwargs={"num_pretext_classes": 5, "tuple_len": 3, "projection_dim": 16},
)
FACTS = Facts(
    metrics={"pretext_accuracy": 0.5, "majority_share": 0.2, "retrieval_at_1": 0.25},
    protocol="none",
    teacher=None,
    dataset="tiny split 1",
    config="SEED: 0\n",
    source="a test",
    licence="Apache-2.0",
)


def publish_tiny(name: str = NAME, config: str = "SEED: 0\n", **kwargs) -> tuple[PCLModel, ZooEntry]:
    model = SPEC.build().eval()
    return model, publish(model, name, zoo=Zoo.user(), spec=SPEC, facts=replace(FACTS, config=config), **kwargs)


def weights_file(entry: ZooEntry) -> Path:
    return Zoo.user().weights_of(entry)


def fork(function: Callable[..., object], *args: object) -> BaseProcess:
    """A started process that runs `function`; the server of forks may be older than this test's home."""
    process = FORKS.Process(target=_run_at_home, args=(os.environ["KDVIDEO_HOME"], function, *args))
    process.start()
    return process


def _run_at_home(home: str, function: Callable[..., object], *args: object) -> None:
    os.environ["KDVIDEO_HOME"] = home
    function(*args)


def hold_lock(path: Path, held: Event) -> None:
    """Takes a lock and keeps it until the process is killed."""
    with locked(path, timeout=10, what="a test holds the lock"):
        held.set()
        threading.Event().wait()


def fetch_by_name(name: str) -> None:
    """Asks for a model's weights."""
    resolve_weights(name)


def publish_again_and_again(number: int, ready: Event) -> None:
    """New names, and one that is replaced each time, until the process is killed."""
    model = SPEC.build()
    ready.set()
    for round_number in itertools.count():
        for name in (f"new{number}.x{round_number}", NAME):
            config = f"SEED: {number}{round_number}\n"
            model.pretext_head.fc.bias.data.fill_(number + round_number / 1000)  # another file each time
            publish(model, name, zoo=Zoo.user(), spec=SPEC, facts=replace(FACTS, config=config), replace=True)


def publish_and_die(name: str, event_number: int) -> None:
    """Kills itself just before its `event_number`-th access to the file system after the lock is taken."""
    model = SPEC.build()
    left = event_number
    counting = False

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left, counting
        counting = counting or (event == "open" and str(arguments[0]).endswith(".lock"))
        if counting and event.startswith(("open", "os.", "tempfile.", "shutil.")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    publish(model, name, zoo=Zoo.user(), spec=SPEC, facts=replace(FACTS, config=f"{name}\n"), replace=True)
