"""Training on datasets other than UCF101."""

import shutil
from pathlib import Path

import pytest
import simplejson

from kdvideo.config import load_config
from kdvideo.data.proxies.dataset import write_proxies
from kdvideo.data.proxies.transcode import ProxyConfig
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.launch import train
from kdvideo.engine.run_folder import METRICS_NAME


def test_pretraining_without_labels(tiny_overrides: list[str], tiny_dataset: Path):
    """Pretext accuracy on the held-out tenth; no retrieval, which needs classes."""
    result = train(load_config(None, [*tiny_overrides, "DATA.NAME", "unlabelled", "SOLVER.EPOCHS", "1"]))
    assert 0 <= result.metrics["pretext_accuracy"] <= 1
    assert not [name for name in result.metrics if "retrieval" in name]


def test_training_with_a_broken_and_a_missing_video(
    tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Refused above DATA.MAX_BAD_FRACTION before anything is trained; else they are named and left out."""
    root = tmp_path / "damaged"
    shutil.copytree(tiny_dataset, root)
    (root / "BallRoll" / "v_BallRoll_g01_c01.avi").write_bytes(b"no video")
    (root / "BallRise" / "v_BallRise_g02_c01.avi").unlink()
    overrides = [*tiny_overrides, "DATA.ROOT", str(root), "SOLVER.EPOCHS", "1"]
    with pytest.raises(ValueError, match=r"2 of 12 training videos cannot be used, 16\.7%, .* allows 1\.0%"):
        train(load_config(None, overrides))
    result = train(load_config(None, [*overrides, "DATA.MAX_BAD_FRACTION", "0.2"]))
    log = caplog.text
    assert "BallRoll/v_BallRoll_g01_c01.avi: cannot be opened" in log
    assert "BallRise/v_BallRise_g02_c01.avi: does not exist" in log
    assert result.metrics["pretext_accuracy"] >= 0


def test_proxies_train_as_their_sources(tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path):
    """DATA.ROOT is all that changes; videos, labels and draws are the same."""
    proxies = tmp_path / "proxies"
    write_proxies(tiny_dataset, proxies, config=ProxyConfig(short_side=36), num_workers=2, time_limit=60.0)
    overrides = [*tiny_overrides, "SOLVER.EPOCHS", "1"]
    train(load_config(None, overrides))
    train(load_config(None, [*overrides, "DATA.ROOT", str(proxies), "OUTPUT_DIR", str(tmp_path / "second")]))
    first, second = (
        simplejson.loads((tmp_path / name / METRICS_NAME).read_text().splitlines()[0]) for name in ("run", "second")
    )
    assert second["majority_share"] == first["majority_share"]
    assert second["loss"] == pytest.approx(first["loss"], rel=0.1)  # the same tuples, in slightly other pixels


@pytest.mark.parametrize("task", ["pcl", "supervised"])
def test_a_video_in_both_lists_is_named(
    task: str, tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Once, by training and by evaluation."""
    videos = sorted(path.relative_to(tiny_dataset).as_posix() for path in tiny_dataset.rglob("*.avi"))
    lists = tmp_path / "lists"
    lists.mkdir()
    for subset, names in (("train", videos[:12]), ("test", videos[11:])):
        (lists / f"{subset}.csv").write_text("".join(["path,label\n", *(f"{name},x y\n" for name in names)]))
    overrides = [*tiny_overrides, "DATA.NAME", "video_lists", "DATA.LIST_DIR", str(lists), "SOLVER.EPOCHS", "1"]
    overrides += ["TASK.NAME", task] + (["DATA.VALIDATION_SHARE", "0.0"] if task == "supervised" else [])
    train(load_config(None, overrides))
    expected = (
        f"1 video is in both the training and the test list ({videos[11]}): results on the test list are too good"
    )
    assert caplog.text.count(expected) == 1
    evaluate(load_config(None, overrides), protocols=["knn"])
    assert caplog.text.count(expected) == 2
