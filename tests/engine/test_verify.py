"""How far a metric may be from its entry, and under which names metrics go into it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdvideo.engine import verify
from kdvideo.engine.verify import Comparison, verify_metrics
from kdvideo.evaluation.metrics import Metric, MetricName
from kdvideo.evaluation.protocol import Measurement
from kdvideo.evaluation.result import Evaluation, SplitResult
from kdvideo.evaluation.save import metrics_for_entry
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.sources import FoundEntry, find_entry

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


@given(st.integers(2, 5000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))))
def test_one_video_apart_agrees_two_do_not(counts: tuple[int, int, int]):
    """For any list and any hits, of whole videos and of the ten tuples of each."""
    videos, stored, measured = counts
    assert Comparison("knn", stored / videos, measured / videos, videos).agrees == (abs(stored - measured) <= 1)
    tuples = Comparison("pretext_accuracy", stored / (10 * videos), measured / (10 * videos), videos)
    assert tuples.agrees == (abs(stored - measured) <= 10)


def test_lines():
    """Both values and how far apart; what nothing measures is no failure."""
    assert str(Comparison("knn", 0.5, 0.625, 16)) == (
        "knn 0.5000, measured now 0.6250 on 16 videos: 2.0 videos apart, one is allowed"
    )
    assert str(Comparison("knn", 0.5, 0.5, 16)) == "knn 0.5000, measured now 0.5000 on 16 videos"
    unknown = Comparison("validation_accuracy", 0.5)
    assert (unknown.agrees, str(unknown)) == (True, "validation_accuracy 0.5000, not measured again")


def test_names_say_what_is_measured(monkeypatch: pytest.MonkeyPatch):
    """Clips and crops make an evaluation each; what kdvideo has not measured, and other data's metrics, make none."""
    metrics = {
        **dict.fromkeys(("pretext_accuracy", "retrieval_at_1", "retrieval_10clip_at_5", "clip_accuracy"), 0.5),
        **dict.fromkeys(("knn_10clip_top5", "knn_10clip_3crop", "clip_accuracy_3crop", "linear_probe_5clip"), 0.5),
        **dict.fromkeys(("UCF-101-s2/knn_10clip", "validation_accuracy"), 0.5),
    }
    entry = replace(find_entry(SHIPPED)[0], metrics=metrics)
    asked: dict[tuple[int, int], list[str]] = {}

    def measure(
        entry: ZooEntry, root: Path, metrics: list[MetricName], *, num_clips: int, num_crops: int, zoo: None
    ) -> SplitResult:
        asked[num_clips, num_crops] = [metric.name for metric in metrics]
        return SplitResult(1, 4, 8, [Measurement("all", [Metric(metric.name, 0.0, 4) for metric in metrics], "")])

    monkeypatch.setattr(verify, "find_entry", lambda name, zoo: FoundEntry(entry, Zoo.user()))
    monkeypatch.setattr(verify, "_measure", measure)
    comparisons = verify_metrics(SHIPPED, Path("data"))
    assert asked == {
        (10, 1): ["pretext_accuracy", "retrieval_at_1", "retrieval_10clip_at_5", "clip_accuracy", "knn_10clip_top5"],
        (10, 3): ["knn_10clip_3crop", "clip_accuracy_3crop"],
        (5, 1): ["linear_probe_5clip"],
    }
    assert [one.metric for one in comparisons] == list(metrics)
    not_measured = ["UCF-101-s2/knn_10clip", "validation_accuracy"]
    assert [one.metric for one in comparisons if one.measured is None] == not_measured
    assert [one.metric for one in comparisons if one.agrees] == not_measured


def test_what_others_report_is_not_verified():
    """Their protocol is not ours."""
    with pytest.raises(ValueError, match="has no metrics that kdvideo has measured: reported by torchvision"):
        verify_metrics("r3d_18.torchvision_k400", Path("data"))


def result(split: int, share: float) -> SplitResult:
    measurement = Measurement("knn", [Metric("knn_10clip", share, 4)], "knn_10clip: k")
    return SplitResult(split, num_test=4, num_train=8, measurements=[measurement])


SETTINGS = {
    "DATA.NAME": "ucf101",
    "PRETEXT.NAME": "vcp",
    "PRETEXT.INTERVAL": 2,
    "DATA.SHORT_SIDE": 64,
    "DATA.FRACTION": 1.0,
    "DATA.VALIDATION_SHARE": 0.0,
    "EVAL.TUPLES_PER_VIDEO": 10,
    "EVAL.CLIPS_PER_VIDEO": 2,
}


def evaluated(*results: SplitResult, dataset: str = "ucf101-mini", **settings: object) -> Evaluation:
    return Evaluation(results, SHIPPED, "0" * 64, dataset, {**SETTINGS, **settings})


def test_names_in_an_entry():
    """Plain on the split that the model was trained on, else with the data's name and split; a mean beside several."""
    entry, _ = find_entry(SHIPPED)
    metrics, protocol = metrics_for_entry(evaluated(result(1, 0.25)), entry)
    assert metrics == {"knn_10clip": 0.25}
    assert protocol == "ucf101-mini split 1: 4 test videos against 8 training videos; knn_10clip: k"
    metrics, _ = metrics_for_entry(evaluated(result(1, 0.25), result(2, 0.75)), entry)
    assert metrics == {"knn_10clip": 0.25, "ucf101-mini-s2/knn_10clip": 0.75, "ucf101-mini-mean/knn_10clip": 0.5}
    metrics, _ = metrics_for_entry(evaluated(result(1, 0.25), dataset="UCF-101"), entry)
    assert metrics == {"UCF-101-s1/knn_10clip": 0.25}
    metrics, _ = metrics_for_entry(evaluated(result(1, 0.25)), replace(entry, config=""))
    assert metrics == {"ucf101-mini-s1/knn_10clip": 0.25}


def test_a_plain_name_means_the_entrys_settings():
    """Otherwise nobody could tell what was measured."""
    entry, _ = find_entry(SHIPPED)
    with pytest.raises(ValueError, match=r"not saved: DATA.SHORT_SIDE was 128, the config of .* has 64"):
        metrics_for_entry(evaluated(result(1, 0.25), **{"DATA.SHORT_SIDE": 128}), entry)
