"""`kdvideo zoo`: what its commands print, and their exit codes."""

from dataclasses import replace
from pathlib import Path

import pytest
import simplejson

import kdvideo
from kdvideo.cli import main
from kdvideo.paths import kdvideo_home as kdvideo_home_dir
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.render import render_catalogue
from kdvideo.zoo.sources import find_entry

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


def test_list(capsys: pytest.CaptureFixture):
    """What matches, where its weights are, how many parameters and how good; below it what the words mean."""
    by_hand = "weights: by hand - `kdvideo zoo fetch NAME` says how to get it\n"
    for pattern, expected in (
        (
            "r3d_10*",
            ("architectures: r3d_10\n\nname", f"{SHIPPED:<40}  shipped    verified     0.90 M  pretext 57.7, R@1 39.1"),
        ),
        ("r3d_18.t*", ("r3d_18.torchvision_k400  to fetch   verified    33.17 M  k400 top1 63.2, k400 top5 83.5\n",)),
        ("r3d_18_h*", ("r3d_18_hara.hara_k700  by hand    unverified  33.20 M\n", by_hand)),
        ("no such*", ("no architecture and no model is called no such*\n",)),
        ("*", ("architectures: c2d_r50, c3d, ", "slow_r50.pytorchvideo_k400  ")),
    ):
        assert main(["zoo", "list", pattern]) == 0
        shown = capsys.readouterr().out
        assert all(text in shown for text in expected)
        assert max(map(len, shown.splitlines())) <= 100
    assert "published" not in shown  # no word that does not occur is explained


def test_list_of_a_students_teacher(kdvideo_home: Path, capsys: pytest.CaptureFixture):
    """Below it; control characters of an entry, which may be anybody's, do not reach the terminal."""
    entry, _ = find_entry(SHIPPED)
    teacher = {"name": "t.eacher\x1b[2J", "sha256": ""}
    Zoo(kdvideo_home / "zoo").write(replace(entry, name="a.b", teacher=teacher, metrics={"top1": 0.5}))
    assert main(["zoo", "list", "a.b"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1:3] == ["a.b   missing    verified     0.90 M  top1 50.0", "  taught by t.eacher\\x1b[2J"]


def test_list_tells_a_recorded_hash(kdvideo_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """One that the publisher does not give, after the file has come."""
    file = tmp_path / "c3d.pt"
    file.write_bytes(b"weights")
    entry, _ = find_entry("c3d.rspnet_k400")
    Zoo(kdvideo_home / "zoo").write(replace(entry, name="a.b", sha256=None, size=None))
    assert main(["zoo", "fetch", "a.b", "--from", str(file)]) == 0
    capsys.readouterr()
    assert main(["zoo", "list", "a.b"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["a.b", "fetched", "recorded"]


def test_list_for_programs(capsys: pytest.CaptureFixture):
    """The same names as `list_models`."""
    assert main(["zoo", "list", "--json"]) == 0
    listed = simplejson.loads(capsys.readouterr().out)
    assert sorted(item["name"] for item in listed) == kdvideo.list_models()
    (shipped,) = [item for item in listed if item["name"] == SHIPPED]
    assert shipped["weights"] == "shipped"
    assert shipped["teacher"] is None
    assert shipped["metrics"] == find_entry(SHIPPED)[0].metrics


def test_show(capsys: pytest.CaptureFixture):
    """Everything in the entry; an unknown hash is said to be unverified; the config only when asked for."""
    assert main(["zoo", "show", "c3d.rspnet_k400"]) == 0
    shown = capsys.readouterr().out
    assert "sha256: unknown (unverified)" in shown
    assert "licence: none stated" in shown
    assert main(["zoo", "show", SHIPPED]) == 0
    assert "SOLVER:" not in capsys.readouterr().out
    assert main(["zoo", "show", SHIPPED, "--config"]) == 0
    assert "SOLVER:" in capsys.readouterr().out
    assert main(["zoo", "show", "r3d_10_w16.pcl"]) == 2
    assert f"did you mean {SHIPPED} or r3d_10_w16.pcl-vcp-from-" in capsys.readouterr().err


def test_verify(kdvideo_home: Path, capsys: pytest.CaptureFixture):
    """0 where all is well, 1 and a line for each problem otherwise."""
    assert main(["zoo", "verify"]) == 0
    assert "all files are what their entries say" in capsys.readouterr().out
    weights = kdvideo_home_dir() / "zoo" / "weights"
    weights.mkdir(parents=True)
    (weights / "stray.safetensors").write_bytes(b"x")
    assert main(["zoo", "verify"]) == 1
    assert capsys.readouterr().err == f"kdvideo: {weights / 'stray.safetensors'} belongs to no entry: remove it\n"


def test_fetch_says_what_to_do_by_hand(capsys: pytest.CaptureFixture):
    """One line with the steps."""
    assert main(["zoo", "fetch", "r2plus1d_18.pcl-vcp_k400"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "surfdrive" in error
    assert "`kdvideo zoo fetch r2plus1d_18.pcl-vcp_k400 --from pcl_r2p1d_res_ssl.pt`" in error
    assert main(["zoo", "fetch", "a.b", "c.d", "--from", "file"]) == 2
    assert "give one name" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "/etc/no-such-file", "a/b"])
@pytest.mark.parametrize("command", [["show"], ["fetch"], ["remove"], ["publish", "x.pt", "--name"]])
def test_names_that_lead_elsewhere(command: list[str], name: str, capsys: pytest.CaptureFixture):
    """Refused by every command that takes a name."""
    assert main(["zoo", *command, name]) == 2
    assert "is no zoo name" in capsys.readouterr().err


def test_render(tmp_path: Path, capsys: pytest.CaptureFixture):
    """An empty zoo has a table without rows; any other folder is refused and stays as it is."""
    assert main(["zoo", "render", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"kdvideo: error: {tmp_path} is no zoo: it has no folder entries/\n"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "entries").mkdir()
    assert main(["zoo", "render", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'MODEL_ZOO.md'}\n"
    assert (tmp_path / "MODEL_ZOO.md").read_text() == render_catalogue([])


def test_shipped_catalogue_is_up_to_date():
    """MODEL_ZOO.md is what `kdvideo zoo render model_zoo` writes."""
    assert Zoo.packaged().table_path.read_text() == render_catalogue(Zoo.packaged().entries())
