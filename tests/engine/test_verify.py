"""How far a metric may be from its entry, and under which names metrics go into it."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fvcore.common.config import CfgNode
from hypothesis import given
from hypothesis import strategies as st

from kdvideo.engine import verify
from kdvideo.engine.verify import Comparison, verify_metrics
from kdvideo.evaluation.metrics import Metric
from kdvideo.evaluation.protocol import Measurement
from kdvideo.evaluation.result import Evaluation, SplitResult
from kdvideo.evaluation.save import metrics_for_entry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.sources import find_entry

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


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    """A zoo of one entry, whose metrics have all kinds of names."""
    entry, found = find_entry(SHIPPED)
    names = (
        *("pretext_accuracy", "retrieval_at_1", "retrieval_10clip_at_5", "clip_accuracy", "knn_10clip_top5"),
        *(
            "knn_10clip_3crop",
            "clip_accuracy_3crop",
            "linear_probe_5clip",
            "UCF-101-s2/knn_10clip",
            "validation_accuracy",
        ),
    )
    zoo = Zoo(tmp_path)
    zoo.write(replace(entry, metrics=dict.fromkeys(names, 0.5)))
    zoo.weights_path(entry.file).parent.mkdir()
    shutil.copy(found.weights_of(entry), zoo.weights_path(entry.file))
    return zoo


def test_names_say_what_is_measured(zoo: Zoo, monkeypatch: pytest.MonkeyPatch):
    """Clips and crops make an evaluation each; what kdvideo has not measured, and other data's metrics, make none."""
    metrics = list(find_entry(SHIPPED, zoo=zoo)[0].metrics)
    asked: dict[tuple[int, int], set[str]] = {}

    def evaluate(cfg: CfgNode, *, protocols: Sequence[str], num_crops: int) -> Evaluation:
        """Measures every metric, as a number that tells its clips and crops."""
        num_clips = cfg.EVAL.FINAL_CLIPS_PER_VIDEO
        assert cfg.DATA.ROOT == "data"
        asked[num_clips, num_crops] = set(protocols)
        measured = [Metric(name, num_clips / 100 + num_crops / 8, 400) for name in metrics]
        return Evaluation([SplitResult(1, 4, 8, [Measurement("all", measured, "")])])

    monkeypatch.setattr(verify, "evaluate", evaluate)
    comparisons = verify_metrics(SHIPPED, Path("data"), zoo=zoo)
    assert asked == {
        (10, 1): {"pretext", "retrieval", "classify", "knn"},
        (10, 3): {"knn", "classify"},
        (5, 1): {"linear_probe"},
    }
    expected = [*[0.225] * 5, 0.475, 0.475, 0.175, None, None]
    assert [(one.metric, one.measured) for one in comparisons] == list(zip(metrics, expected, strict=True))
    assert [one.metric for one in comparisons if one.agrees] == ["UCF-101-s2/knn_10clip", "validation_accuracy"]


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
