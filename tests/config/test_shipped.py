"""Configs found by the names of those that come with kdvideo."""

import re
from pathlib import Path

import pytest

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.config.shipped import config_names, describe_config, find_config
from kdvideo.paths import zoo_root

NAME = "pretrain/pcl_vcp_r3d_10_ucf101"
WRONG = "pretrain/pcl_vpc_r3d_10_ucf101"


def test_a_name_is_the_file_of_that_name(tmp_path: Path, monkeypatch):
    """From any folder, with or without the suffix; `_BASE_` of the file itself and of one's own works."""
    monkeypatch.chdir(tmp_path)
    shipped = zoo_root() / "configs" / f"{NAME}.yaml"
    expected = load_config(shipped)
    assert expected.SOLVER.EPOCHS == 100  # says its base
    for name in (NAME, f"{NAME}.yaml", Path(NAME)):
        assert find_config(name) == shipped
        assert load_config(name) == expected
    Path("own.yaml").write_text(f"_BASE_: {NAME}\nSEED: 7\n")
    expected.SEED = 7
    assert load_config("own.yaml") == expected


def test_a_file_is_taken_before_a_name(tmp_path: Path, monkeypatch):
    """Also as a base, which is relative to the file that names it."""
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "pretrain" / NAME.rpartition("/")[2]
    own.parent.mkdir()
    own.write_text("SEED: 3\n")
    assert load_config(NAME).SEED == 3
    (tmp_path / "top.yaml").write_text(f"_BASE_: {NAME}\n")
    assert load_config("top.yaml").SEED == 3
    monkeypatch.chdir("/")
    assert load_config(tmp_path / "top.yaml").SEED == 3


@pytest.mark.parametrize("given", [WRONG, f"model_zoo/configs/{WRONG}.yaml"])
def test_an_unknown_name_names_near_ones(given: str):
    """In one line, with the file that was looked for."""
    expected = rf"^config file {re.escape(given)} does not exist; .*did you mean {NAME} or "
    with pytest.raises(ValueError, match=expected) as error:
        load_config(given)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="`kdvideo configs` lists those that come with kdvideo"):
        load_config("qqq")


def test_the_list_has_a_line_for_each(capsys):
    """Each says what the config is for, and `kdvideo configs NAME` shows the file."""
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == config_names()
    assert {NAME, "base/ucf101", "study/ucf101mini"} < set(config_names())
    assert all(10 < len(describe_config(name)) < 100 for name in config_names())
    assert main(["configs", NAME]) == 0
    assert capsys.readouterr().out == find_config(NAME).read_text()
