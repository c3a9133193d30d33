"""What works with the required packages alone, and which extra the rest asks for."""

import importlib
import json
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from scripts import run_script

from kdvideo.extras import OPTIONAL_PACKAGES, MissingExtraError, extra_imports, missing_extra

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
SCRIPT = """
import contextlib, io, json
from importlib.machinery import PathFinder

ABSENT, find_spec = {absent!r}, PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest, **more: (
    None if name.split(".")[0] in ABSENT else find_spec(name, *rest, **more)
)
import kdvideo
from kdvideo.cli import main

model = kdvideo.create_model({shipped!r}, pretrained=True).eval()
features = model(kdvideo.prepare_clips(kdvideo.load_clips({video!r}, model.clip_spec), model.clip_spec))
done = {{}}
for name, command in json.loads({commands!r}).items():
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
        code = main(command)
    done[name] = (code, out.getvalue(), error.getvalue())
print(json.dumps({{"features": list(features.shape), "done": done}}))
"""


def come_along(name: str, found: set[str]) -> set[str]:
    """Every distribution that `pip install NAME` brings, without extras, as far as it is installed here."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name not in found:
        found.add(name)
        try:
            needed = [Requirement(text) for text in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            return found
        for one in needed:
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                come_along(one.name, found)
    return found


def absent_modules() -> set[str]:
    """Third-party modules of this environment that `pip install kdvideo` would not have brought."""
    text = (Path(__file__).resolve().parent.parent / "setup.py").read_text("utf-8")
    required = re.findall(r'^    "([\w-]+)[^"]*",  #', text, flags=re.MULTILINE)
    there: set[str] = set()
    for name in required:
        come_along(name, there)
    return {
        module
        for module, names in metadata.packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", name).lower() for name in names} & (there | {"kdvideo"})
        and module not in sys.stdlib_module_names
    }


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path) -> dict:
    """What a process without the extras' packages does."""
    folder = tmp_path_factory.mktemp("extras")
    video = str(next(tiny_dataset.rglob("*.avi")))
    few = str(tiny_dataset / "BallRoll")
    commands = {
        "predict": ["predict", video],
        "embed": ["embed", few, "--out", "f.safetensors", "--clips", "1"],
        "neighbours": ["predict", video, "--gallery", "f.safetensors", "--top", "1"],
        "zoo": ["zoo", "list", "c3d*"],
        "doctor": ["doctor"],
        "parquet": ["embed", few, "--out", "f.parquet"],
        "train": ["train", "DATA.ROOT", str(tiny_dataset), "OUTPUT_DIR", "run", "MODEL.WIDTH", "4"],
        "demo": ["demo", "--output", "demo"],
        "pictures": ["picture", "curves", "run", "--out", "c.png"],
        "report": ["report", "--out", "r.html"],
        "export": ["export", SHIPPED, "--out", "m.onnx"],
    }
    text = SCRIPT.format(absent=absent_modules(), shipped=SHIPPED, video=video, commands=json.dumps(commands))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDVIDEO_HOME", str(folder / "home"))
        patch.setenv("KDVIDEO_OFFLINE", "1")
        done = run_script(folder, text)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_extras_are_absent():
    """The test takes away what it speaks of: modules of every extra that a required package does not need itself."""
    assert set(OPTIONAL_PACKAGES) - absent_modules() <= {"jinja2"}  # torch's own


def test_what_needs_no_extra(outcome: dict):
    """Pretrained weights, features of a video, prediction, a gallery, the zoo and the doctor."""
    assert outcome["features"] == [10, 128]
    for name in ("predict", "embed", "neighbours", "zoo", "doctor"):
        code, out, error = outcome["done"][name]
        assert code == 0, error
        assert out
    assert "v_BallRoll" in outcome["done"]["neighbours"][1]
    assert "for kdvideo train, eval and data: pip install 'kdvideo[train]'" in outcome["done"]["doctor"][1]


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("parquet", "pyarrow", "parquet"),
        ("train", "pebble", "train"),
        ("demo", "matplotlib", "pictures"),
        ("pictures", "matplotlib", "pictures"),
        ("report", "plotly", "report"),
        ("export", "onnxscript", "export"),
    ],
)
def test_what_needs_one_names_it(outcome: dict, command: str, package: str, extra: str):
    """The last line has the package and the pip command, exit code 2."""
    code, _, error = outcome["done"][command]
    assert code == 2, error
    assert error.splitlines()[-1] == f"kdvideo: error: {package} is not installed: pip install 'kdvideo[{extra}]'"


def test_other_failures_stay_as_they_are():
    """A module that is no optional package, and an optional one that is there but broken."""
    with pytest.raises(ModuleNotFoundError, match="no_such_module") as caught, extra_imports():
        importlib.import_module("no_such_module")
    assert not isinstance(caught.value, MissingExtraError)
    assert missing_extra(ImportError("cannot import name 'TSNE'", name="sklearn")) is None
    assert missing_extra(ModuleNotFoundError("No module named 'sklearn.no'", name="sklearn.no")) is None
    told = r"^scikit-learn is not installed: pip install 'kdvideo\[eval\]'$"
    with pytest.raises(MissingExtraError, match=told), extra_imports():
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
