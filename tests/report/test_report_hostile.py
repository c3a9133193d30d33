"""The report page over entries, runs and galleries of an attacker: a page comes out, with what is good in it."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import kdvideo
from kdvideo.inference.gallery import Gallery
from kdvideo.report import render_report, write_report
from kdvideo.report.runs import find_runs
from kdvideo.zoo.manage import EntryState
from kdvideo.zoo.sources import find_entry

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
HUGE = "1" + "0" * 400
LAUGHS = "\n".join(  # a8 stands for a billion of x
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 10)}]" for depth in range(1, 9)]
)


def page(entry_changes: dict) -> str:
    """With one entry that has these changes."""
    entry, zoo = find_entry(SHIPPED)
    return render_report([EntryState(replace(entry, **entry_changes), zoo, "shipped")], [])


@pytest.mark.parametrize(
    "config",
    [
        f"{LAUGHS}\nCLIP: {{LENGTH: *a8, SIZE: 1}}\n",  # hung until the memory ended
        "[" * 20_000,
        "TEACHER: {LOSSES: [1, {}]}\n",
        "TEACHER: {LOSSES: 5}\nMODEL: 3\n",
        "a: [\n",
    ],
)
def test_configs_of_entries(config: str):
    """The entry is shown, whatever its config is."""
    teacher = {"name": "t", "sha256": "0" * 64}
    assert SHIPPED in page({"config": config, "teacher": teacher})


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ('{"dataset": "d", "metrics": {"pretext_accuracy": 0.5}, "teacher": {"name": 5}}', '{"epoch": 1}'),
        ('{"dataset": "d", "config": []}', '{"epoch": 1}'),
        ("[" * 100_000, '{"epoch": 1}'),
        ("{}", "[" * 100_000),
        ("{}", '{"epoch": 1, "x": ' + HUGE + "}"),
    ],
)
def test_lines_and_facts_of_runs(tmp_path: Path, facts: str, line: str):
    """Another run in the folder is drawn."""
    for name, metrics in (("bad", line), ("good", '{"epoch": 1, "loss": 2.0}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(metrics)
        (tmp_path / name / "config.yaml").write_text("MODEL: {BACKBONE: c3d}\n")
    (tmp_path / "bad" / "facts.json").write_text(facts)
    runs = find_runs([tmp_path])
    assert {"epoch": 1, "loss": 2.0} in [epoch for run in runs for epoch in run.epochs]
    assert "good" in render_report([], runs)


def test_a_pipe_in_place_of_metrics(tmp_path: Path):
    """It was waited for."""
    for name in ("bad", "good"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "bad" / "metrics.jsonl")
    (tmp_path / "good" / "metrics.jsonl").write_text('{"epoch": 1}')
    assert [run.name for run in find_runs([tmp_path])] == [f"{tmp_path.name}/good"]


def test_names_that_are_no_text():
    """A surrogate of a folder's name can be in no file."""
    text = page({"licence": "\udce9 and \ud800"})
    assert "\\udce9 and \\ud800" in text
    text.encode("utf-8")


@pytest.mark.skipif(shutil.which("node") is None, reason="node, which runs a line of the page, is not installed")
def test_metrics_called_like_parts_of_every_object():
    """`"constructor" in {}` is true in JavaScript: one entry's metric of that name broke the plots of all."""
    script = (Path(kdvideo.__file__).parent / "report" / "templates" / "report.js").read_text("utf-8")
    reading, _, _ = script.partition("const byId")
    program = f"""
    const document = {{ getElementById: () => ({{ textContent: '{{"models": [{{"metrics": {{"a": 1}}}}]}}' }}) }};
    {reading.replace('"use strict";', "")}
    const metrics = data.models[0].metrics;
    console.log(JSON.stringify(["constructor" in metrics, "toString" in metrics, "__proto__" in metrics, metrics.a]));
    """
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[false,false,false,1]"


def write_gallery(path: Path, *, names: list, facts: bytes) -> Path:
    """Two videos; whatever names and facts the attacker likes."""
    empty = pa.nulls(2, pa.string())
    columns = {"video": names, "class": ["a", "b"], "num_frames": [1, 1], "feature": [[1.0, 0.0]] * 2, "problem": empty}
    parquet.write_table(pa.table(columns).replace_schema_metadata({b"kdvideo": facts}), path)
    return path


@pytest.mark.parametrize(
    ("names", "facts", "message"),
    [
        (["a", "b"], b'{"model": "m", "sha256": 5, "num_clips": 1}', "sha256 is 5, it must be a text"),
        (["a", "b"], b'{"model": [], "sha256": "5", "num_clips": 1}', r"model is \[\], it must be a text"),
        ([None, "b"], b'{"model": "m", "sha256": "5", "num_clips": 1}', "a video is called None"),
        ([1, 2], b'{"model": "m", "sha256": "5", "num_clips": 1}', "a video is called 1"),
        (["a", "b"], b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_galleries_that_are_none(tmp_path: Path, names: list, facts: bytes, message: str):
    """Refused when they are read."""
    path = write_gallery(tmp_path / "g.parquet", names=names, facts=facts)
    with pytest.raises(ValueError, match=f"is no gallery .*{message}"):
        Gallery.read(path)


def test_galleries_name_no_file_outside(tmp_path: Path, tiny_dataset: Path):
    """A picture of a video that lies elsewhere would be in a page that is passed on."""
    video = next(tiny_dataset.rglob("*.avi"))
    (tmp_path / "videos").mkdir()
    (tmp_path / "private.avi").write_bytes(video.read_bytes())
    facts = b'{"model": "m", "sha256": "5", "num_clips": 1}'
    names = ["../private.avi", str(tmp_path / "private.avi")]
    gallery = write_gallery(tmp_path / "g.parquet", names=names, facts=facts)
    out = write_report(tmp_path / "r.html", galleries=[(gallery, tmp_path / "videos")])
    assert "data:image/jpeg" not in out.read_text("utf-8")
    assert out.read_text("utf-8").count(">not readable<") == 4


def test_a_gallery_that_unpacks_to_gigabytes(tmp_path: Path):
    """Some KB of Parquet say the same value as often as they like; it is refused before it is unpacked."""
    count = 20_000_000
    same = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count), pa.array(["x"]))
    zeros, none = pa.repeat(pa.scalar(0, pa.int64()), count), pa.nulls(count, pa.list_(pa.float32()))
    table = pa.table({"video": same, "class": same, "num_frames": zeros, "feature": none, "problem": same})
    parquet.write_table(table.replace_schema_metadata({b"kdvideo": b"{}"}), tmp_path / "g.parquet")
    assert (tmp_path / "g.parquet").stat().st_size < 1 << 20
    with pytest.raises(ValueError, match="bytes that stand for 100000000 values"):
        Gallery.read(tmp_path / "g.parquet")
