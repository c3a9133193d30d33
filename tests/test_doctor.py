"""`kdvideo doctor` says what is missing and what to do about it."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from kdvideo import doctor
from kdvideo.data.readers import torchcodec
from kdvideo.extras import OptionalPackage


def findings() -> dict[str, doctor.Finding]:
    return {one.what: one for one in doctor.examine()}


def test_it_names_versions_and_folders(kdvideo_home: Path):
    found = findings()
    assert {"kdvideo", "torch", "torchvision", "video readers", "CPU", "GPU", "KDVIDEO_HOME", "zoo"} <= set(found)
    assert found["KDVIDEO_HOME"].found.startswith(str(kdvideo_home))
    assert "r3d_10_w16.pcl-vcp_ucf101mini-s1" in found["zoo"].found


def test_it_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A package that is not there, one that breaks, no torchcodec, a home that cannot be written."""
    broken = tmp_path / "broken_package.py"
    broken.write_text("raise OSError('libmissing.so')")
    monkeypatch.syspath_prepend(tmp_path)
    packages = {
        "no_such_package": OptionalPackage("extra", "a thing", "no-such-package"),
        "broken_package": OptionalPackage("extra", "another", "broken-package"),
    }
    monkeypatch.setattr(doctor, "OPTIONAL_PACKAGES", packages)
    monkeypatch.setattr(torchcodec, "torchcodec_loads", lambda: False)
    monkeypatch.setenv("KDVIDEO_HOME", str(broken / "below_a_file"))
    found = findings()
    assert found["no-such-package"].found == "not installed"
    assert found["no-such-package"].advice == "for a thing: pip install 'kdvideo[extra]'"
    assert found["broken-package"].found == "does not import (libmissing.so)"
    assert "pip install 'kdvideo[fast]'" in found["video readers"].advice
    assert "set KDVIDEO_HOME to a folder that can" in found["KDVIDEO_HOME"].advice


INSTALLED = """Metadata-Version: 2.1
Name: kdvideo
Version: 9
Requires-Python: >=99
Requires-Dist: av<2,>=1
Requires-Dist: numpy
Requires-Dist: no-such-package>=2,<3
Requires-Dist: broken-package
Requires-Dist: no-such-extra; extra == "all"
"""


def test_it_compares_what_is_there_with_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Python, a wrong version, a package that is not there, one that breaks; each with what to do."""
    for name, text in {
        "kdvideo": INSTALLED,
        "broken_package": "Metadata-Version: 2.1\nName: broken-package\nVersion: 3\n",
    }.items():
        (tmp_path / f"{name}-9.dist-info").mkdir()
        (tmp_path / f"{name}-9.dist-info" / "METADATA").write_text(text)
    (tmp_path / "broken_package.py").write_text("raise TypeError('Descriptors cannot be created.\\nIf this ...')")
    monkeypatch.syspath_prepend(tmp_path)
    found = findings()
    assert found["Python"].found == f"{platform.python_version()}, kdvideo needs >=99"
    assert found["Python"].advice == "make an environment of another Python for it"
    assert found["av"].found == f"{metadata.version('av')}, kdvideo needs <2,>=1"
    assert found["av"].advice == "pip install 'av<2,>=1'"
    assert found["numpy"] == doctor.Finding("numpy", metadata.version("numpy"))
    assert found["no-such-package"] == doctor.Finding(
        "no-such-package", "not installed", "pip install 'no-such-package<3,>=2'"
    )
    assert found["broken-package"].found == "3, does not import (Descriptors cannot be created.)"
    assert found["broken-package"].advice == "pip install 'broken-package' --force-reinstall"
    assert "no-such-extra" not in found


@pytest.mark.slow
def test_a_broken_package_hides_nothing_else(tmp_path: Path):
    """PyAV does not import: the doctor goes through to its end, other commands end in one line."""
    (tmp_path / "av.py").write_text("raise ImportError('libavcodec.so.61: cannot open shared object file')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kdvideo.cli", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    done = run("doctor")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "does not import (libavcodec.so.61: cannot open shared object file)" in done.stdout
    assert "models known, here without a network: " in done.stdout  # its last look
    done = run("predict", str(tmp_path / "av.py"))
    assert done.returncode == 1
    assert done.stderr == (
        "kdvideo: error: libavcodec.so.61: cannot open shared object file; `kdvideo doctor` says what is missing\n"
    )
