"""`pip install kdvideo` without extras, in an environment of its own; see also tests/test_extras.py."""

from pathlib import Path

import pytest
from installed import Installation

from kdvideo.extras import OPTIONAL_PACKAGES

pytestmark = pytest.mark.slow
SCRIPT = """
import kdvideo
model = kdvideo.create_model("r3d_10_w16.pcl-vcp_ucf101mini-s1", pretrained=True).eval()
clips = kdvideo.load_clips("video.avi", model.clip_spec)
print(tuple(model(kdvideo.prepare_clips(clips, model.clip_spec)).shape))
"""


def test_the_least_that_is_useful(installation: Installation, tiny_dataset: Path, tmp_path: Path):
    """Weights, features and prediction work; training names the extra that it lacks."""
    extras = {package.distribution for package in OPTIONAL_PACKAGES.values()} - {"jinja2"}  # torch needs it
    installation.take_away(sorted(extras))
    (tmp_path / "video.avi").symlink_to(next(tiny_dataset.rglob("*.avi")))
    (tmp_path / "videos").symlink_to(tiny_dataset / "BallRoll")
    done = installation.run("python", "-W", "error::FutureWarning", "-c", SCRIPT, cwd=tmp_path)
    assert done.stdout == "(10, 128)\n"
    assert "v_" in installation.run("kdvideo", "predict", "video.avi", cwd=tmp_path).stdout
    installation.run("kdvideo", "embed", "videos", "--out", "f.safetensors", cwd=tmp_path)
    found = installation.run("kdvideo", "predict", "video.avi", "--gallery", "f.safetensors", cwd=tmp_path)
    assert "v_BallRoll" in found.stdout
    assert "pip install 'kdvideo[train]'" in installation.run("kdvideo", "doctor", cwd=tmp_path).stdout
    for arguments, package, extra in (
        (["train", "DATA.ROOT", str(tiny_dataset), "OUTPUT_DIR", "run"], "pebble", "train"),
        (["demo"], "matplotlib", "pictures"),
        (["embed", "videos", "--out", "f.parquet"], "pyarrow", "parquet"),
    ):
        refused = installation.run("kdvideo", *arguments, cwd=tmp_path, ok=False)
        assert refused.returncode == 2
        told = f"kdvideo: error: {package} is not installed: pip install 'kdvideo[{extra}]'"
        assert refused.stderr.splitlines()[-1] == told
