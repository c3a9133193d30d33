"""What could not be read back is refused before anything is written."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_zoo import FACTS, NAME, SPEC

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.spec import ModelSpec
from kdvideo.paths import user_zoo
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.publish import publish

CLASSIFIER = ModelSpec("c3d", {"width": 4}, ClipSpec(clip_len=8, size=32), "classification_head", {"num_classes": 3})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            replace(SPEC, head="mlp_head", head_kwargs={}),
            "built from the head 'mlp_head', which is not registered here",
        ),
        (replace(SPEC, backbone="my_net"), "built from the backbone 'my_net', which is not registered here"),
        (replace(SPEC, backbone_kwargs={"width": 8}), "the model's pretext_head.* shape .5, 96., its .5, 192."),
        (replace(SPEC, head="none", head_kwargs={}), "another network: the model lacks blocks.0"),
        (replace(SPEC, head_kwargs={**SPEC.head_kwargs, "pretext_head": "order_head"}), "another network"),
        (replace(SPEC, clip_spec=replace(SPEC.clip_spec, size=0)), "size is 0; it must be a whole number"),
        (replace(SPEC, head=None), "head is no str"),
        (replace(SPEC, backbone_kwargs={"width": object()}), "the spec cannot be stored as JSON"),
    ],
)
def test_a_spec_that_does_not_give_the_model_back(spec: ModelSpec, message: str):
    with pytest.raises(ValueError, match=message):
        publish(SPEC.build(), NAME, zoo=Zoo.user(), spec=spec, facts=FACTS)
    assert list(user_zoo().rglob("*.*")) == []


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"classes": ["a", "b"]}, "`classes` has 2 names, but the classifier has 3 outputs"),
        ({"classes": ["a", "b", "a"]}, "`classes` has 'a' twice"),
        ({"classes": None}, "classes"),
        ({"teacher": "somebody"}, "teacher"),
        ({"licence": None}, "licence"),
        ({"metrics": {"accuracy": object()}}, "the facts cannot be stored as JSON"),
    ],
)
def test_facts_that_no_reader_takes(facts: dict, message: str, tmp_path: Path):
    """Written, they would end `render` in an AttributeError, or be dropped without a word."""
    with pytest.raises(ValueError, match=message):
        publish(CLASSIFIER.build(), "c3d.x", zoo=Zoo(tmp_path), spec=CLASSIFIER, facts=replace(FACTS, **facts))
    assert list(tmp_path.rglob("*.*")) == []
    assert publish(CLASSIFIER.build(), "c3d.x", zoo=Zoo(tmp_path), spec=CLASSIFIER, facts=FACTS).classes == []
