"""What several tests share: where real videos are, a tiny generated dataset, and no leaking random state."""

import gc
import itertools
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.util import get_temp_dir
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from kdvideo.config.keys import KEYS, SECTIONS
from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101
from kdvideo.registry import BACKBONES, DATASETS, HEADS, HOOKS, LOSSES, OPTIMIZERS, PRETEXTS, SCHEDULES, TASKS

REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples each time, and no limit in seconds, which a busy machine would not keep.
settings.register_profile(
    "kdvideo",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("kdvideo")


_NUMBERS = itertools.count()


def pytest_collection_finish() -> None:
    """Garbage is not looked for among libraries and tests, which stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _keep_random_state() -> Iterator[None]:
    """A test that draws or seeds changes nothing for the next one."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - to restore it
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


@pytest.fixture(scope="session", autouse=True)
def _no_power_cuts() -> Iterator[None]:
    """Nothing waits for the disk: a tiny run would spend a tenth of its time so, and no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What libraries, page examples and processes leave in `$TMPDIR` goes with pytest's own folders."""
    get_temp_dir()  # multiprocessing's own, which this process removes at its end, later than pytest its folders
    folder = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture(autouse=True)
def kdvideo_home(_temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's own zoo."""
    home = _temporary_folder / f"home-{next(_NUMBERS)}"  # pytest's mktemp would read the names of all of them
    home.mkdir()
    monkeypatch.setenv("KDVIDEO_HOME", str(home))
    return home


@pytest.fixture
def new_process(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """What it gives forgets modules and names that a test brought, as a new process would; so does the test's end."""
    path, modules = list(sys.path), set(sys.modules)
    registries = (BACKBONES, DATASETS, HEADS, HOOKS, LOSSES, OPTIMIZERS, PRETEXTS, SCHEDULES, TASKS)
    known = [(registry, dict(registry)) for registry in registries]
    declared: list[tuple[dict, dict]] = [(KEYS, dict(KEYS)), (SECTIONS, dict(SECTIONS))]

    def forget() -> None:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(tmp_path):
                del sys.modules[name]
        for registry, objects in known:
            registry._obj_map = dict(objects)
        for mapping, contents in declared:
            mapping.clear()
            mapping.update(contents)

    yield forget
    forget()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of genuine UCF101 clips and odd files, `$KDVIDEO_DATA`; its tests skip where it is not."""
    folder = Path(os.environ.get("KDVIDEO_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real videos: KDVIDEO_DATA is not set and {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def foreign_outputs(real_data: Path) -> Path:
    """The folder of other projects' key layouts and outputs, beside the videos; its tests skip where it is not."""
    folder = real_data.parent / "foreign"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 generated videos: 12 to train on, 6 to test on."""
    config = SyntheticConfig(train_groups=2, test_groups=1, clips_per_group=1, min_frames=64, max_frames=66)
    return write_synthetic_ucf101(tmp_path_factory.mktemp("tiny"), config)


@pytest.fixture
def tiny_overrides(tiny_dataset: Path, tmp_path: Path) -> list[str]:
    """KEY VALUE pairs of a run that takes about a second an epoch."""
    return [
        *("DATA.ROOT", str(tiny_dataset), "OUTPUT_DIR", str(tmp_path / "run"), "ZOO.DIR", str(tmp_path / "zoo")),
        *("MODEL.WIDTH", "4", "CLIP.LENGTH", "8", "CLIP.SIZE", "32", "DATA.SHORT_SIDE", "36"),
        *("PRETEXT.INTERVAL", "2", "SOLVER.EPOCHS", "2", "SOLVER.BATCH_SIZE", "6", "DATA.NUM_WORKERS", "0"),
        *("EVAL.TUPLES_PER_VIDEO", "2", "EVAL.FINAL_CLIPS_PER_VIDEO", "3"),
    ]
