"""What has to be known of a family of the library's models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from kdvideo.data.clip_spec import ClipSpec, Sampling
from kdvideo.models.backbone import Backbone
from kdvideo.models.frames import as_pair

__all__ = ["Family", "architecture", "is_classifier", "square_size"]


@dataclass(frozen=True)
class Family:
    """What kdvideo knows of one `model_type` of the library. All functions take the library's config object.

    Attributes:
        title: what people call it.
        network: returns the name of the library's class whose weights are loaded, as `library_class` takes it.
        adapt: makes a backbone of that network. Gets the network, its config and a clip spec. It may take the network
            apart: what it leaves out is not kept.
        feature: says in words what the feature is.
        clip_len: returns the number of frames in a clip.
        size: returns height and width of a frame in pixels.
        sees: "clips", or "frames" if it sees each frame alone.
        frame_stride: video frames from one frame of a clip to the next, as it was trained.
        sampling: "stride", or "uniform" if it was trained on frames spread over the whole video.
        short_side: returns the short side before the crop from the size of the crop, if the library's processor
            ignores what the preprocessor file says about it.
        offset: whether the library's processor moves pixels to [-1, 1] before it normalises them.
        arguments: other arguments of the library's class.
    """

    title: str
    network: Callable[[Any], str]
    adapt: Callable[[Any, Any, ClipSpec], Backbone]
    feature: Callable[[Any], str]
    clip_len: Callable[[Any], int]
    size: Callable[[Any], int]
    sees: Literal["clips", "frames"] = "clips"
    frame_stride: int = 1
    sampling: Sampling = "stride"
    short_side: Callable[[int], int] | None = None
    offset: bool = False
    arguments: Callable[[Any], dict[str, Any]] | None = None


def architecture(config: Any) -> str:
    """Returns the name of the class that wrote a checkpoint. "" if its config does not say."""
    return str((config.architectures or [""])[0])


def is_classifier(config: Any) -> bool:
    """Returns whether a checkpoint is a classifier's, as its config says."""
    return architecture(config).endswith(("ForVideoClassification", "ForImageClassification"))


def square_size(config: Any) -> int:
    """Returns height and width of the frames that a network takes, in pixels."""
    height, width = as_pair(config.image_size)
    if height != width:
        raise ValueError(f"its frames have {height} x {width} pixels: kdvideo's clips are square")
    return height
