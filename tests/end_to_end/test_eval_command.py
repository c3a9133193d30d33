"""`kdvideo eval`: the same figures as a run's, of models from the zoo and of random weights, over splits and crops."""

import dataclasses
import re
from pathlib import Path

import pytest
import simplejson
import torch
from pyarrow import csv

from kdvideo.cli import main, parse
from kdvideo.config import load_config
from kdvideo.engine.build import build_model_spec
from kdvideo.engine.evaluation_config import evaluation_config
from kdvideo.engine.launch import train
from kdvideo.evaluation.intervals import wilson_interval
from kdvideo.zoo.entry import Facts, ZooEntry
from kdvideo.zoo.folder import Zoo, read_entry
from kdvideo.zoo.publish import publish


def publish_untrained(overrides: list[str], name: str, *, classes: list[str] | None = None) -> ZooEntry:
    """An entry as a run would publish it, with random weights: a `PCLModel`, or a classifier."""
    cfg = load_config(None, overrides)
    spec = build_model_spec(cfg, num_classes=len(classes) if classes else None)
    torch.manual_seed(0)
    facts = Facts(
        {}, protocol="", teacher=None, dataset="", config=cfg.dump(), source="", licence="", classes=classes or []
    )
    dtype = getattr(torch, cfg.ZOO.DTYPE)
    return publish(spec.build(), name, zoo=Zoo(Path(cfg.ZOO.DIR)), spec=spec, facts=facts, dtype=dtype)


def evaluate(tmp_path: Path, *arguments: str) -> dict:
    """The report that the command leaves."""
    out = tmp_path / "eval"
    assert main(["eval", *arguments, "OUTPUT_DIR", str(out), "ZOO.DIR", str(tmp_path / "zoo")]) == 0
    return simplejson.loads((out / "evaluation.json").read_text())


def class_folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name.startswith("Ball"))


def test_it_repeats_a_runs_figures_and_adds_to_them(
    tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    """Given the videos alone: clips, size of frames, interval and how much is measured are the entry's."""
    result = train(load_config(None, [*tiny_overrides, "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "own.pcl"]))
    report = evaluate(tmp_path, "own.pcl", "DATA.ROOT", str(tiny_dataset))
    figures = {key: value for key, value in result.metrics.items() if isinstance(value, float)}
    assert {key: report["metrics"][key] for key in figures} == figures
    added = {"knn_3clip", "knn_3clip_top5", "linear_probe_3clip", "linear_probe_3clip_top5"}
    assert report["metrics"].keys() - figures.keys() == added
    (split,) = report["splits"]
    assert (split["test_videos"], split["training_videos"]) == (6, 12)
    assert split["intervals_95"]["knn_3clip"] == list(wilson_interval(split["metrics"]["knn_3clip"], 6))
    assert "majority_share" not in split["intervals_95"]
    table = capsys.readouterr().out
    assert f"own.pcl on {tiny_dataset.name}, split 1: 6 test videos against 12 training videos" in table
    share = report["metrics"]["retrieval_3clip_at_1"]
    assert re.search(rf"^retrieval_3clip_at_1 +{share:.3f}  95 % ", table, flags=re.MULTILINE)
    for protocol in ("knn", "linear_probe"):
        rows = csv.read_csv(tmp_path / "eval" / f"confusion_{protocol}.csv").to_pylist()
        assert [row["true class"] for row in rows] == class_folders(tiny_dataset)
        right = sum(row[row["true class"]] for row in rows)
        assert right / 6 == pytest.approx(report["metrics"][f"{protocol}_3clip"])


def test_a_classifier_answers_for_itself(tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path):
    """Of the dataset's classes: its own accuracy, by one crop and by three; features when asked for."""
    names = class_folders(tiny_dataset)
    publish_untrained(tiny_overrides, "own.classes", classes=names)
    one = evaluate(tmp_path, "own.classes", "DATA.ROOT", str(tiny_dataset))
    assert one["metrics"].keys() == {"video_accuracy_3clip", "video_accuracy_3clip_top5", "clip_accuracy"}
    asked = ["--crops", "3", "--protocols", "classify,retrieval"]
    three = evaluate(tmp_path, "own.classes", "DATA.ROOT", str(tiny_dataset), *asked)
    assert "video_accuracy_3clip_3crop" in three["metrics"]
    assert "retrieval_3clip_3crop_at_1" in three["metrics"]
    assert "3 uniform clips x 3 crops along the longer side" in three["splits"][0]["protocol"]
    publish_untrained(tiny_overrides, "others.classes", classes=["A", "B", "C", "D", "E", "F"])
    other = evaluate(tmp_path, "others.classes", "DATA.ROOT", str(tiny_dataset))
    assert not any("accuracy" in key for key in other["metrics"])
    assert "linear_probe_3clip" in other["metrics"]


def test_random_weights_of_an_architecture(tiny_overrides: list[str], tmp_path: Path):
    """Those that SEED draws; no hash."""
    one, other = (
        evaluate(tmp_path, "r3d_10", *tiny_overrides, "SEED", seed, "--protocols", "pretext,knn") for seed in "12"
    )
    assert one["sha256"] is None
    assert {"pretext_accuracy", "knn_3clip"} <= one["metrics"].keys()
    assert one["metrics"] != other["metrics"]
    (tmp_path / "eval" / "checkpoint.pt").touch()
    with pytest.raises(ValueError, match="already holds a run"):
        evaluation_config("r3d_10", None, ["OUTPUT_DIR", str(tmp_path / "eval")])


@pytest.fixture
def three_splits(tiny_dataset: Path, tmp_path: Path) -> Path:
    """The tiny dataset with official-style lists of three splits, each group in one test list."""
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "classInd.txt").write_text((tiny_dataset / "ucfTrainTestlist" / "classInd.txt").read_text())
    names = sorted(str(path.relative_to(tiny_dataset)) for path in tiny_dataset.rglob("*.avi"))
    classes = class_folders(tiny_dataset)
    for split in (1, 2, 3):
        test = [name for name in names if f"_g{split:02d}_" in name]
        train = [f"{name} {1 + classes.index(name.split('/')[0])}" for name in names if name not in test]
        for subset, lines in (("test", test), ("train", train)):
            (folder / f"{subset}list0{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_all_splits_are_each_split_and_their_mean(
    tiny_overrides: list[str],
    tiny_dataset: Path,
    three_splits: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
):
    """Features of a video are computed once, whichever lists name it; the log says what the weights have seen."""
    publish_untrained(tiny_overrides, "own.pcl")
    data = ["DATA.ROOT", str(tiny_dataset), "DATA.LIST_DIR", str(three_splits)]
    together = evaluate(tmp_path, "own.pcl", *data, "--all-splits")
    assert "own.pcl was trained on split 1: most test videos of split 2, 3 were among" in capsys.readouterr().err
    apart = [evaluate(tmp_path, "own.pcl", *data, "DATA.SPLIT", split) for split in "123"]
    for key, mean in together["metrics"].items():
        assert mean == pytest.approx(sum(one["metrics"][key] for one in apart) / 3)
    for one, result in zip(apart, together["splits"], strict=True):
        assert one["splits"] == [result]
    assert sorted(path.name for path in (tmp_path / "eval").glob("confusion_knn-*")) == [
        "confusion_knn-s1.csv",
        "confusion_knn-s2.csv",
        "confusion_knn-s3.csv",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocols", "pretext,fid"], "'fid' is no protocol: choose of pretext, retrieval, knn, linear_probe, c"),
        (["--protocols", "classify"], "classify cannot be measured: the model has no classes of its own"),
        (
            ["PRETEXT.NAME", "vcop", "--protocols", "pretext"],
            "the model has 5 answers, which are not those of the pretext: VCOP",
        ),
        (["DATA.NAME", "unlabelled", "--protocols", "knn"], "knn cannot be measured: the videos have no classes"),
        (["DATA.NAME", "class_folders", "--all-splits"], "DATA.SPLIT is 2, but"),
        (["DATA.ROOT", "/no/such"], "DATA.ROOT /no/such is not a folder"),
    ],
)
def test_what_cannot_be_measured_is_said(
    tiny_overrides: list[str],
    tiny_dataset: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
):
    """In the last line, with exit code 2."""
    publish_untrained(tiny_overrides, "own.pcl")
    common = ["DATA.ROOT", str(tiny_dataset), "OUTPUT_DIR", str(tmp_path / "eval"), "ZOO.DIR", str(tmp_path / "zoo")]
    assert main(["eval", "own.pcl", *common, *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_key_value_pairs_stand_where_they_like(capsys: pytest.CaptureFixture):
    """Before and after options, of every command that takes them; a misspelt option is still refused."""
    for arguments in (
        ["eval", "x", "A", "1", "--crops", "3", "B", "2"],
        ["eval", "--crops", "3", "x", "A", "1", "B", "2"],
    ):
        options = parse(arguments)
        assert (options.crops, options.overrides) == (3, ["A", "1", "B", "2"])
    for arguments in (["eval", "x", "--crop-s", "3"], ["doctor", "A", "1"]):
        with pytest.raises(SystemExit):
            parse(arguments)
        assert "unrecognized arguments" in capsys.readouterr().err


def test_saved_metrics_are_verified(
    tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    """What `--save` wrote is found again; a wrong one ends in a line of its own and exit code 1."""
    entry = publish_untrained([*tiny_overrides, "ZOO.DTYPE", "float16"], "own.pcl")
    report = evaluate(tmp_path, "own.pcl", "DATA.ROOT", str(tiny_dataset), "--save")
    saved = read_entry(tmp_path / "zoo" / "entries" / "own.pcl.json")
    assert saved == dataclasses.replace(entry, metrics=report["metrics"], protocol=saved.protocol)
    assert saved.protocol == f"{tiny_dataset.name} {report['splits'][0]['protocol']}"
    verify = ["zoo", "verify", "--metrics", "own.pcl", "--data", str(tiny_dataset), "--zoo", str(tmp_path / "zoo")]
    assert main(verify) == 0
    wrong = {**saved.metrics, "knn_3clip": (saved.metrics["knn_3clip"] + 0.5) % 1, "by_others": 0.1}
    Zoo(tmp_path / "zoo").write(dataclasses.replace(saved, metrics=wrong))
    capsys.readouterr()
    assert main(verify) == 1
    printed = capsys.readouterr()
    (complaint,) = [line for line in printed.err.splitlines() if line.startswith("kdvideo: ")]
    assert complaint.startswith(f"kdvideo: own.pcl: knn_3clip {wrong['knn_3clip']:.4f}, measured now")
    assert "by_others 0.1000, not measured again" in printed.out
    assert main(verify[:4]) == 2
    assert "--metrics NAME and --data DIR go together" in capsys.readouterr().err


def test_the_shipped_zoo_is_not_written(tiny_dataset: Path, capsys: pytest.CaptureFixture):
    """Said before anything is measured."""
    assert main(["eval", "r3d_10_w16.pcl-vcp_ucf101mini-s1", "DATA.ROOT", str(tiny_dataset), "--save"]) == 2
    assert "which is written only when it is asked for: set ZOO.DIR" in capsys.readouterr().err
