"""A classifier to ask."""

from pathlib import Path

import pytest
import torch

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.entry import Facts
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.publish import publish

SPEC = ClipSpec(clip_len=8, size=32, modality="rgb")


@pytest.fixture
def classifier(kdvideo_home: Path) -> str:
    """A classifier with random weights in the user's zoo, which names its classes."""
    spec = ModelSpec("c3d", {"width": 4}, SPEC, "classification_head", {"num_classes": 3})
    torch.manual_seed(0)
    facts = Facts({}, protocol="", teacher=None, dataset="", config="", source="", licence="", classes=["a", "b", "c"])
    publish(spec.build(), "c3d_w4.tiny", zoo=Zoo(kdvideo_home / "zoo"), spec=spec, facts=facts)
    return "c3d_w4.tiny"
