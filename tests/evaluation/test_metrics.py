"""What a metric's name says, and that each protocol's names say what was measured."""

from pathlib import Path

import pytest
import torch

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.samples import TupleConfig
from kdvideo.evaluation import (
    KNN,
    Classify,
    EvalConfig,
    LinearProbe,
    Lists,
    PretextProtocol,
    Protocol,
    Retrieval,
    Views,
    evaluate,
    parse_metric,
)
from kdvideo.evaluation.choice import PROTOCOLS
from kdvideo.models.pcl import ClassificationModel, PCLModel, build_backbone, build_pcl_model

CLIP = ClipSpec(clip_len=4, size=32)


def networks() -> tuple[PCLModel, ClassificationModel]:
    torch.manual_seed(0)
    backbone = build_backbone("r3d_10", width=4, clip_spec=CLIP)
    return build_pcl_model(backbone, projection_dim=8), ClassificationModel(backbone, num_classes=6)


@pytest.mark.parametrize("num_crops", [1, 3])
def test_names_say_what_was_measured(tiny_lists: Lists, tmp_path: Path, num_crops: int):
    """Protocol, clips and crops of every metric that there is can be read from its name."""
    views = Views(num_clips=2, short_side=36, num_crops=num_crops)
    pcl, classifier = networks()
    tuples = TupleConfig(TupleLayout(CLIP, tuple_len=3, interval=2), VCP(), AugmentConfig(), short_side=36)
    pretext = PretextProtocol(tuples, config=EvalConfig(tuples_per_video=5, num_workers=0), directory=tmp_path)
    jobs: dict[str, list[Protocol]] = {"pcl": [pretext, Retrieval(), KNN(), LinearProbe()], "classifier": [Classify()]}
    met = []
    for model, protocols in zip((pcl, classifier), jobs.values(), strict=True):
        (result,) = evaluate(model, [tiny_lists], protocols, views=views, num_workers=0).splits
        for one in result.measurements:
            met.append(one.protocol)
            for metric in one.metrics:
                name = parse_metric(metric.name)
                assert (name.protocol, name.data) == (one.protocol, ""), metric.name
                assert name.num_clips == (2 if "2clip" in metric.name else None)
                assert name.num_crops == (1 if one.protocol == "pretext" else num_crops)
    assert met == list(PROTOCOLS)


@pytest.mark.parametrize(
    ("name", "data", "protocol", "views"),
    [
        ("retrieval_10clip_at_50", "", "retrieval", (10, 1)),
        ("retrieval_at_5", "", "pretext", (None, 1)),
        ("validation_majority_share", "", "pretext", (None, 1)),
        ("UCF-101-s2/knn_5clip_3crop_top5", "UCF-101-s2", "knn", (5, 3)),
        ("UCF-101-mean/linear_probe_10clip", "UCF-101-mean", "linear_probe", (10, 1)),
        ("video_accuracy_10clip_top5", "", "classify", (10, 1)),
        ("clip_accuracy_3crop", "", "classify", (None, 3)),
        ("validation_accuracy", "", None, (None, 1)),
        ("k400_top1", "", None, (None, 1)),
        ("knn_by_others", "", None, (None, 1)),
    ],
)
def test_stored_names_are_read(name: str, data: str, protocol: str | None, views: tuple[int | None, int]):
    """Data, protocol, clips and crops; what other people report has no protocol."""
    metric = parse_metric(name)
    assert (metric.data, metric.protocol, (metric.num_clips, metric.num_crops)) == (data, protocol, views)


def test_chance_and_scores():
    """The majority's share is the chance level of pretext accuracy, and no score."""
    assert parse_metric("pretext_accuracy").chance == "majority_share"
    assert parse_metric("validation_pretext_accuracy").chance == "validation_majority_share"
    assert parse_metric("retrieval_at_1").chance is None
    assert parse_metric("train_pretext_accuracy").chance is None
    assert not parse_metric("UCF-101-s1/majority_share").is_score
    assert not parse_metric("validation_cross_entropy").is_score
    assert parse_metric("k400_top1").is_score
    assert [parse_metric(name).is_accuracy for name in ("train_accuracy", "retrieval_at_1", "loss")] == [
        True,
        True,
        False,
    ]
