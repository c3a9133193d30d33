"""Features and logits of whole lists, and what is measured on them, against loops over videos and clips."""

from pathlib import Path

import pytest
import torch

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.data.datasets import ucf101
from kdvideo.data.readers.decode import count_frames
from kdvideo.data.samples import UniformClips
from kdvideo.data.subsets import hold_out
from kdvideo.data.videos import VideoList
from kdvideo.evaluation.classify import Classify
from kdvideo.evaluation.clip_outputs import ClipOutputs, Views, compute_clip_outputs
from kdvideo.evaluation.evaluate import evaluate
from kdvideo.evaluation.knn import KNN, knn_scores
from kdvideo.evaluation.linear_probe import STRENGTHS, LinearProbe, probe_scores
from kdvideo.evaluation.protocol import Classes, Lists, Subject
from kdvideo.evaluation.retrieval import Retrieval
from kdvideo.models.pcl import ClassificationModel, build_backbone, build_pcl_model

CLIP = ClipSpec(clip_len=4, size=32)
OPTIONS = {"batch_size": 16, "num_workers": 0, "device": torch.device("cpu")}


@pytest.fixture(scope="module")
def videos(tiny_dataset: Path) -> VideoList:
    records = ucf101(tiny_dataset, split=1, subset="test")
    return VideoList(records, [count_frames(record.path) for record in records])


@pytest.mark.parametrize("num_crops", [1, 3])
def test_video_level_accuracy_is_a_slow_loop(videos: VideoList, num_crops: int):
    """A view at a time: probabilities, their mean a video, its best classes."""
    model = ClassificationModel(build_backbone("r3d_10", width=4, clip_spec=CLIP), num_classes=6)
    torch.nn.init.normal_(model.head.weight)  # so that answers differ
    views = Views(num_clips=2, short_side=36, num_crops=num_crops)
    evaluation = evaluate(model, [Lists(videos, videos)], [Classify()], views=views, batch_size=16, num_workers=0)
    assert model.training
    name = "2clip" if num_crops == 1 else "2clip_3crop"
    dataset = UniformClips(videos, CLIP, num_clips=2, short_side=36, num_crops=num_crops)
    first, fifth, clips_right = 0, 0, 0
    model.eval()
    with torch.no_grad():
        for i in range(len(videos)):
            each = [model(prepare_clips(clip[None], CLIP))[0].softmax(dim=0) for clip in dataset[i]["clips"]]
            ranked = (sum(each) / len(each)).argsort(descending=True).tolist()
            first += ranked[0] == dataset[i]["class_id"]
            fifth += dataset[i]["class_id"] in ranked[:5]
            clips_right += sum(int(one.argmax()) == dataset[i]["class_id"] for one in each)
    count = len(videos)
    assert evaluation.metrics == pytest.approx(
        {
            f"video_accuracy_{name}": first / count,
            f"video_accuracy_{name}_top5": fifth / count,
            "clip_accuracy" + name.removeprefix("2clip"): clips_right / (count * views.count),
        }
    )


def test_a_part_is_what_is_computed_of_it(videos: VideoList):
    """The same videos alone, in another order; a PCL model has features and no classes."""
    model = build_pcl_model(build_backbone("r3d_10", width=4, clip_spec=CLIP), projection_dim=8)
    views = Views(num_clips=2, short_side=36)
    whole = compute_clip_outputs(model, videos, views=views, **OPTIONS)
    assert whole.logits is None
    part = videos.subset([4, 1])
    alone = compute_clip_outputs(model, part, views=views, **OPTIONS)
    of_whole = whole.of(part.records)
    assert of_whole.classes.tolist() == [record.class_id for record in part.records] == alone.classes.tolist()
    # another number of clips in a forward may change the last bits
    torch.testing.assert_close(of_whole.features, alone.features, rtol=1e-4, atol=1e-6)


def test_protocols_share_the_normalised_mean(videos: VideoList, tiny_dataset: Path):
    """Each is its function on it; the probe's C was chosen on held-out groups."""
    records = ucf101(tiny_dataset, split=1, subset="train")
    lists = Lists(videos, VideoList(records, [64] * len(records)))
    features = torch.randn(len(videos) + len(records), 3, 5, generator=torch.Generator().manual_seed(0))
    model = build_backbone("r3d_10", width=4, clip_spec=CLIP)
    outputs = ClipOutputs([*videos.records, *records], features, None)
    subject = Subject(model, lists, Views(num_clips=3, short_side=36), Classes.of([lists]), outputs)
    means = torch.nn.functional.normalize(features.mean(dim=1), dim=1).double()
    queries, gallery = means[: len(videos)], means[len(videos) :]
    classes, train_classes = (torch.tensor([one.class_id for one in part]) for part in (videos.records, records))

    votes = knn_scores(queries, gallery, gallery_classes=train_classes, num_classes=6)
    knn = KNN().measure(subject)
    assert torch.equal(knn.predicted, votes.argmax(dim=1))
    assert (knn.metrics[0].name, knn.metrics[0].num_videos) == ("knn_3clip", len(videos))
    assert knn.metrics[0].share == pytest.approx((votes.argmax(dim=1) == classes).double().mean().item())
    candidates = [
        probe_scores(queries, gallery, classes=train_classes, num_classes=6, strength=strength).argmax(dim=1)
        for strength in STRENGTHS
    ]
    probe = LinearProbe().measure(subject)
    assert any(torch.equal(probe.predicted, candidate) for candidate in candidates)
    assert len(hold_out(records, 0.25)[1]) == 6
    retrieval = {metric.name: metric.share for metric in Retrieval().measure(subject).metrics}
    nearest = (queries @ gallery.T).argmax(dim=1)
    assert retrieval["retrieval_3clip_at_1"] == pytest.approx(
        (train_classes[nearest] == classes).double().mean().item()
    )
    assert retrieval["retrieval_3clip_at_50"] == 1.0  # the whole gallery


def test_a_protocol_reads_the_lists_that_it_names(videos: VideoList):
    """Without outputs there is nothing to read."""
    lists = Lists(videos, videos)
    model = build_backbone("r3d_10", width=4, clip_spec=CLIP)
    subject = Subject(model, lists, Views(num_clips=3, short_side=36), Classes.of([lists]))
    with pytest.raises(RuntimeError, match="has to name the list in `needs`"):
        Retrieval().measure(subject)
