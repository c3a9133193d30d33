"""Whether a teacher's classes are the student's, by name."""

from collections.abc import Sequence

import pytest
import torch

from kdvideo import ClipSpec
from kdvideo.models.pcl import ClassificationModel, build_backbone
from kdvideo.tasks.classes import class_order
from kdvideo.tasks.supervised import label_losses


def classifier(names: Sequence[str], number: int | None = None) -> ClassificationModel:
    backbone = build_backbone("c3d", width=2, clip_spec=ClipSpec(clip_len=8, size=32))
    model = ClassificationModel(backbone, num_classes=number or len(names))
    model.class_names = names
    return model


def test_order():
    assert class_order(classifier("abc"), classifier("abc"), name="t") is None
    assert class_order(classifier("abc"), classifier("cab"), name="t") == [1, 2, 0]
    assert class_order(classifier("", 3), classifier("cab"), name="t") is None


@pytest.mark.parametrize(
    ("own", "theirs", "message"),
    [
        ("abcd", "abx", r"`teacher` t tells other .* it lacks 2 \(c, d\) and it also has 1 \(x\); choose"),
        ("ab", "abcdef", r"the dataset: it also has 4 \(c, d, e, \.\.\); choose"),
    ],
)
def test_other_names(own: str, theirs: str, message: str):
    with pytest.raises(ValueError, match=message):
        class_order(classifier(own), classifier(theirs), name="t")


def test_other_numbers():
    with pytest.raises(ValueError, match="tells 3 classes apart, but the dataset has 2"):
        class_order(classifier("", 2), classifier("abc"), name="t")


def test_labels_of_some_clips():
    """Each labelled clip's cross-entropy, over all clips; the accuracy with the share of labelled ones."""
    logits = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]], [[0.0, 3.0]]], requires_grad=True)
    scalars = label_losses(logits, {"class_id": torch.tensor([0, -1, 0])})
    expected = -(logits[0, 0].log_softmax(0)[0] + logits[2, 0].log_softmax(0)[0]) / 3
    torch.testing.assert_close(scalars["loss"], expected)
    assert scalars["train_accuracy"].item() == pytest.approx(1 / 3)
    assert scalars["share_of_train_accuracy"].item() == pytest.approx(2 / 3)
    scalars["loss"].backward()
    assert torch.equal(logits.grad[1], torch.zeros(1, 2))
    assert label_losses(logits, {}) == {}
    none = label_losses(logits, {"class_id": torch.tensor([-1, -1, -1])})
    assert (none["loss"], none["share_of_train_accuracy"]) == (0, 0)
