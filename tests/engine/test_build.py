"""From a config to a network."""

import pytest
import torch
from torch import Tensor

from kdvideo.config import get_defaults, load_config
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine import training
from kdvideo.engine.build import build_model, build_model_spec
from kdvideo.engine.launch import train
from kdvideo.models.backbone import Backbone
from kdvideo.models.spec import ModelSpec
from kdvideo.registry import BACKBONES

CPU = torch.device("cpu")


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


class _Full(Backbone):
    """A network for which there is no room, when it is moved or when it computes."""

    def __init__(self, *, clip_spec: ClipSpec, when: str) -> None:
        super().__init__(num_features=1, clip_spec=clip_spec)
        self.when = when

    def forward_features(self, clip: Tensor) -> Tensor:
        if self.when == "computing":
            torch.empty(2**50)
        return clip

    def _apply(self, *arguments, **options):
        if self.when == "moved":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super()._apply(*arguments, **options)


@pytest.mark.parametrize(("when", "place"), [("moved", "GPU"), ("computing", "process")])
def test_full_memory_is_no_short_clip(when: str, place: str, monkeypatch: pytest.MonkeyPatch):
    """The message says whose memory is full, instead of asking for longer clips."""
    monkeypatch.setitem(BACKBONES._obj_map, "full", _Full)
    spec = ModelSpec("full", {"when": when}, ClipSpec(clip_len=4, size=16), "none", {})
    with pytest.raises(MemoryError, match=f"^the {place} is out of memory: lower MODEL.WIDTH"):
        build_model(spec, CPU)


def test_a_gpu_that_is_full_before_the_first_step(tiny_overrides: list[str], monkeypatch: pytest.MonkeyPatch):
    """As the check of convolutions at the size of a real batch may find it; a setting helps."""

    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(training, "prepare_student", fail)
    with pytest.raises(MemoryError, match=r"^the GPU is out of memory: lower SOLVER\.BATCH_SIZE or CLIP\.SIZE"):
        train(load_config(None, tiny_overrides))


def test_a_short_clip_is_called_so():
    """Found on the CPU, before the device has a part in it."""
    cfg = get_defaults()
    cfg.MODEL.BACKBONE, cfg.MODEL.WIDTH, cfg.CLIP.LENGTH, cfg.CLIP.SIZE = "c3d", 4, 4, 8
    with pytest.raises(ValueError, match=r"c3d cannot take clips of 4 frames of 8 x 8 .*: raise CLIP\.LENGTH"):
        build_model(build_model_spec(cfg), torch.device("meta"))
