"""`kdvideo doctor` says what is missing and what to do about it."""

from pathlib import Path

import pytest

from kdvideo.inference import doctor


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
    purposes = {"no_such_package": ("a thing", "extra"), "broken_package": ("another", "extra")}
    monkeypatch.setattr(doctor, "_OPTIONAL", purposes)
    monkeypatch.setattr(doctor, "torchcodec_loads", lambda: False)
    monkeypatch.setenv("KDVIDEO_HOME", str(broken / "below_a_file"))
    found = findings()
    assert found["no_such_package"].found == "not installed"
    assert found["no_such_package"].advice == "for a thing: pip install 'kdvideo[extra]'"
    assert found["broken_package"].found == "does not import (libmissing.so)"
    assert "pip install 'kdvideo[fast]'" in found["video readers"].advice
    assert "set KDVIDEO_HOME to a folder that can" in found["KDVIDEO_HOME"].advice
