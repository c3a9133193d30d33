"""What a model of classes has beside its logits: names, parts, a new head."""

import copy
import pickle

import pytest
import torch
from torch import nn

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models import ClassificationModel

CLIPS = ClipSpec(clip_len=4, size=32)
CLIP = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


def classifier() -> ClassificationModel:
    model = kdvideo.create_model("r3d_10", num_classes=3, width=4, clip_spec=CLIPS).eval()
    assert isinstance(model, ClassificationModel)
    model.class_names = ["a", "b", "c"]
    return model


def test_parts():
    """The head on the backbone's features is the model; everything is there in a copy as well."""
    for model in (classifier(), copy.deepcopy(classifier()), pickle.loads(pickle.dumps(classifier()))):
        assert (model.classes, model.num_classes, model.num_features) == (("a", "b", "c"), 3, 32)
        assert model.clip_spec == CLIPS
        assert model.get_classifier() is model.head
        assert torch.equal(model.forward_head(model.backbone(CLIP)), model(CLIP))
        assert torch.equal(model.forward_features(CLIP), model.backbone.forward_features(CLIP))
        with pytest.raises(ValueError, match=r"features are \[2, 32, 1, 2, 2\]; the head takes \[B, 32\], as model"):
            model.forward_head(model.forward_features(CLIP))


def test_reset_classifier():
    """A new head with other classes, or none: the outputs are the features then."""
    model = classifier().double()
    features = model.backbone(CLIP.double())
    model.reset_classifier(2, classes=["x", "y"])
    assert (model.num_classes, model.classes, model.head.weight.dtype) == (2, ("x", "y"), torch.float64)
    assert model(CLIP.double()).shape == (2, 2)
    model.reset_classifier(5)
    assert model.classes == ()
    assert model(CLIP.double()).shape == (2, 5)
    model.reset_classifier(0)
    assert isinstance(model.head, nn.Identity)
    assert torch.equal(model(CLIP.double()), features)
    with pytest.raises(ValueError, match="there are 1 names for 2 classes: give one for each, or none"):
        model.reset_classifier(2, classes=["x"])
