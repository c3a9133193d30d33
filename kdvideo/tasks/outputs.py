"""What a network answers to a batch of clips, in one pass: a student as well as its teacher."""

from collections.abc import Sequence

from torch import Tensor

from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import Model, backbone_of

__all__ = ["MAP", "compute_outputs"]

MAP = "map_"  # begins the names of maps among the outputs; the stage's name follows


def compute_outputs(
    model: Model, clips: Tensor, *, stages: Sequence[str] = (), feature: bool = True
) -> dict[str, Tensor]:
    """Computes all outputs that a distillation loss may compare.

    Args:
        model: the network. It may be a backbone alone.
        clips: prepared clips `[B, N, C, T, H, W]`.
        stages: names of the backbone's stages.
        feature: whether features are wanted beside maps. A model with a head needs them.

    Returns:
        `feature[B, N, D]`; of a classifier also `class_logits[B, N, K]`; all outputs of a `PCLModel`; for each of the
        stages `map_NAME[B, N, D, t, h, w]`.
    """
    if stages:
        return _outputs_with_maps(model, clips, stages=stages, feature=feature)
    if isinstance(model, PCLModel):
        return model(clips)
    if not isinstance(model, ClassificationModel):
        return {"feature": model(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])}
    feature = model.backbone(clips.flatten(0, 1))
    outputs = {"feature": feature, "class_logits": model.head(feature)}
    return {name: output.unflatten(0, clips.shape[:2]) for name, output in outputs.items()}


def _outputs_with_maps(model: Model, clips: Tensor, *, stages: Sequence[str], feature: bool) -> dict[str, Tensor]:
    backbone = backbone_of(model)
    found = backbone.forward_outputs(clips.flatten(0, 1), stages=stages, feature=feature or model is not backbone)
    outputs = {name: output.unflatten(0, clips.shape[:2]) for name, output in found.items()}
    outputs = {name if name == "feature" else MAP + name: output for name, output in outputs.items()}
    if isinstance(model, PCLModel):
        return {**outputs, **model.answer(outputs["feature"])}
    if isinstance(model, ClassificationModel):
        return {**outputs, "class_logits": model.head(outputs["feature"])}
    return outputs
