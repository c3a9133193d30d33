"""From a config to a network."""

import pytest

from kdvideo.config import get_defaults
from kdvideo.engine.build import build_model_spec


def test_width_goes_to_backbones_that_have_one():
    """A network of fixed width takes no other than the default, and its spec does not name it."""
    cfg = get_defaults()
    cfg.MODEL.WIDTH = 16
    assert build_model_spec(cfg).backbone_kwargs == {"width": 16}
    cfg.MODEL.BACKBONE = "x3d_xs"
    with pytest.raises(ValueError, match=r"MODEL\.WIDTH is 16, .* x3d_xs is fixed: set MODEL\.WIDTH 64"):
        build_model_spec(cfg)
    cfg.MODEL.WIDTH = 64
    spec = build_model_spec(cfg)
    assert spec.backbone_kwargs == {}
    assert spec.build().backbone.num_features == 2048
