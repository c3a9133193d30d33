"""Retrieval against a slow loop, chance levels, and cached clips against freshly decoded ones."""

from pathlib import Path

import pytest
import torch

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.data.datasets import ucf101
from kdvideo.data.loader import create_loader
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.readers.decode import count_frames
from kdvideo.data.samples import FixedTuples, TupleConfig, UniformClips
from kdvideo.data.videos import VideoList
from kdvideo.evaluation import (
    EvalConfig,
    Lists,
    PretextProtocol,
    Retrieval,
    Views,
    evaluate,
    majority_share,
    retrieval_at_k,
)
from kdvideo.evaluation.features import CachedClips
from kdvideo.models.pcl import build_backbone, build_pcl_model

CLIP = ClipSpec(clip_len=4, size=32)
TUPLES = TupleConfig(TupleLayout(CLIP, tuple_len=3, interval=2), VCP(), AugmentConfig(), short_side=36)


def videos_of(root: Path, subset: str) -> VideoList:
    records = ucf101(root, root / "ucfTrainTestlist", split=1, subset=subset)
    return VideoList(records, [count_frames(record.path) for record in records])


def test_retrieval_equals_a_slow_loop():
    """For each query: sort the gallery by cosine, look whether one of the first k has the class."""
    generator = torch.Generator().manual_seed(0)
    queries, gallery = (torch.randn(n, 6, generator=generator) for n in (17, 23))
    queries, gallery = (x / x.norm(dim=1, keepdim=True) for x in (queries, gallery))
    query_classes, gallery_classes = (torch.randint(0, 5, (n,), generator=generator) for n in (17, 23))
    shares = retrieval_at_k(
        queries, gallery, query_classes=query_classes, gallery_classes=gallery_classes, ks=(1, 3, 50)
    )
    for k, share in shares.items():
        hits = 0
        for query, wanted in zip(queries, query_classes, strict=True):
            ranked = sorted(range(23), key=lambda i: -float(query @ gallery[i]))
            hits += any(gallery_classes[i] == wanted for i in ranked[:k])
        assert share == pytest.approx(hits / 17)


def test_majority_share():
    """Four of six labels are 2."""
    assert majority_share(torch.tensor([[2, 2], [0, 2], [1, 2]])) == pytest.approx(4 / 6)


def test_cache_equals_decoding(tiny_dataset: Path, tmp_path: Path):
    """The memory map gives what the dataset gives, in its order, and leaves no file behind."""
    dataset = FixedTuples(videos_of(tiny_dataset, "test"), TUPLES, num_slots=5)
    cache = CachedClips(create_loader(dataset, batch_size=4, num_workers=0), directory=tmp_path, label="pretext_label")
    cached = torch.cat(list(cache))
    assert cached.shape == (6, 5, 3, 3, 4, 32, 32)
    for i in range(len(dataset)):
        assert torch.equal(cached[i], dataset[i]["clips"])
        assert torch.equal(cache.labels[i], dataset[i]["pretext_label"])
    assert list(tmp_path.iterdir()) == []


def test_fixed_tuples_hold_each_label_equally_often(tiny_dataset: Path):
    """Videos with room for a remote clip: a constant answer scores one in five, exactly."""
    dataset = FixedTuples(videos_of(tiny_dataset, "test"), TUPLES, num_slots=5)
    labels = torch.cat([dataset[i]["pretext_label"] for i in range(len(dataset))])
    assert labels.bincount().tolist() == [6] * 5


def test_evaluator_equals_a_slow_loop(tiny_lists: Lists, tmp_path: Path):
    """Pretext accuracy and retrieval@1, one sample at a time and in fp32, are what the evaluator says."""
    train, test = tiny_lists.train, tiny_lists.test
    model = build_pcl_model(build_backbone("r3d_10", width=4, clip_spec=CLIP), projection_dim=16)
    model.train()
    config = EvalConfig(tuples_per_video=5, batch_size=7, num_workers=0)
    protocols = [PretextProtocol(TUPLES, config=config, directory=tmp_path), Retrieval()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    evaluation = evaluate(model, [Lists(test, train)], protocols, views=Views(3, 36), batch_size=7, num_workers=0)
    metrics = evaluation.metrics
    assert model.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert metrics["majority_share"] == pytest.approx(0.2)
    assert metrics["pretext_accuracy"] == pytest.approx(_slow_pretext_accuracy(model, test))
    final = {name: share for name, share in metrics.items() if "3clip" in name}
    assert set(final) == {f"retrieval_3clip_at_{k}" for k in (1, 5, 10, 20, 50)}
    assert metrics["retrieval_at_1"] == pytest.approx(_slow_retrieval_at_1(model, train, test, num_clips=2))
    assert final["retrieval_3clip_at_1"] == pytest.approx(_slow_retrieval_at_1(model, train, test, num_clips=3))


class CountedTuples(FixedTuples):
    decoded = 0

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        CountedTuples.decoded += 1
        return super().__getitem__(index)


def test_the_same_lists_are_decoded_once(tiny_lists: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As at every epoch's end; other lists take their place, and held-out videos are measured beside the test list."""
    monkeypatch.setattr("kdvideo.evaluation.pretext.FixedTuples", CountedTuples)
    model = build_pcl_model(build_backbone("r3d_10", width=4, clip_spec=CLIP), projection_dim=16)
    config = EvalConfig(tuples_per_video=5, batch_size=7, num_workers=0)
    protocol = PretextProtocol(TUPLES, config=config, directory=tmp_path)
    first, second = (evaluate(model, [tiny_lists], [protocol], views=Views(3, 36)) for _ in range(2))
    assert first.metrics == second.metrics
    assert CountedTuples.decoded == 6 + 2
    (result,) = first.splits
    assert [result.measured[f"{prefix}pretext_accuracy"].num_videos for prefix in ("", "validation_")] == [6, 2]
    assert result.measured["validation_retrieval_at_1"].num_videos == 2
    alone = evaluate(model, [tiny_lists.validation], [protocol], views=Views(3, 36))
    assert {f"validation_{name}": share for name, share in alone.metrics.items()}.items() <= first.metrics.items()


def _slow_pretext_accuracy(model: torch.nn.Module, test: VideoList) -> float:
    model.eval()
    hits = []
    dataset = FixedTuples(test, TUPLES, num_slots=5)
    with torch.no_grad():
        for i in range(len(dataset)):
            for clips, label in zip(dataset[i]["clips"], dataset[i]["pretext_label"], strict=True):
                logits = model(prepare_clips(clips[None], CLIP))["pretext_logits"]
                hits.append(float(logits.argmax() == label))
    return sum(hits) / len(hits)


def _slow_retrieval_at_1(model: torch.nn.Module, train: VideoList, test: VideoList, *, num_clips: int) -> float:
    def describe(videos: VideoList) -> list[tuple[torch.Tensor, int]]:
        described = []
        for sample in (UniformClips(videos, CLIP, num_clips=num_clips, short_side=36)[i] for i in range(len(videos))):
            features = [model.backbone(prepare_clips(clip[None], CLIP))[0] for clip in sample["clips"]]
            mean = sum(features) / num_clips
            described.append((mean / mean.norm(), sample["class_id"]))
        return described

    model.eval()
    with torch.no_grad():
        gallery = describe(train)
        hits = [max(gallery, key=lambda video: float(video[0] @ f))[1] == wanted for f, wanted in describe(test)]
    return sum(hits) / len(hits)
