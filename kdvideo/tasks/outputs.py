"""What a network answers to a batch of clips, in one pass: a student as well as its teacher."""

from torch import Tensor

from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import Model

__all__ = ["compute_outputs"]


def compute_outputs(model: Model, clips: Tensor) -> dict[str, Tensor]:
    """Computes all outputs that a distillation loss may compare.

    Args:
        model: the network. It may be a backbone alone.
        clips: prepared clips `[B, N, C, T, H, W]`.

    Returns:
        `feature[B, N, D]`; of a classifier also `class_logits[B, N, K]`; all outputs of a `PCLModel`.
    """
    if isinstance(model, PCLModel):
        return model(clips)
    if not isinstance(model, ClassificationModel):
        return {"feature": model(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])}
    feature = model.backbone(clips.flatten(0, 1))
    outputs = {"feature": feature, "class_logits": model.head(feature)}
    return {name: output.unflatten(0, clips.shape[:2]) for name, output in outputs.items()}
