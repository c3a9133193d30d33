"""How a student learns from a teacher's views: one feature of a view against the student's clips around it."""

from collections.abc import Mapping, Sequence

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from kdvideo.data.batch import Batch
from kdvideo.data.pretexts.kept import kept_clips
from kdvideo.data.views import TeacherViews
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.registry import PRETEXTS
from kdvideo.tasks.maps import compared_outputs, map_shapes
from kdvideo.tasks.outputs import MAP
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.teacher import compares_answers, feature_losses

__all__ = ["build_views", "check_views", "match_views", "view_clips", "view_shapes"]


def check_views(losses: Sequence[str], *, pretext: str, tuple_len: int, classes: bool = False) -> None:
    """Checks that a run can learn from views.

    Args:
        losses: names of distillation losses.
        pretext: a name of PRETEXTS.
        tuple_len: the clips of a tuple.
        classes: whether the student learns classes, so that answers are those of a classifier and not to a pretext.

    Raises:
        ValueError: a loss compares answers to a pretext, or the pretext may change every clip.
    """
    features = feature_losses()
    if not classes and not set(losses) <= set(features):
        raise ValueError(
            f"`losses` is {list(losses)}, but a teacher's views have features only: choose of {', '.join(features)}, "
            "or set `views` to 0"
        )
    if not kept_clips(PRETEXTS.get(pretext), tuple_len):
        suitable = [name for name in PRETEXTS.names() if kept_clips(PRETEXTS.get(name), tuple_len)]
        raise ValueError(
            f"`pretext` {pretext} may change every clip, so none can be compared with a teacher's view: choose of "
            f"{', '.join(suitable)}, or set `views` to 0"
        )


def build_views(cfg: CfgNode, teacher: Model, *, replay: ReplayStore | None) -> TeacherViews | None:
    """Reads TEACHER.VIEWS. None if the teacher answers to the student's clips.

    Args:
        cfg: a valid config.
        teacher: the teacher's network.
        replay: the store of its answers, which views need.
    """
    if not cfg.TEACHER.VIEWS:
        return None
    assert replay is not None, "views are answered once, so their answers need a store"
    kept = kept_clips(PRETEXTS.get(cfg.PRETEXT.NAME), cfg.PRETEXT.TUPLE_LEN)
    return TeacherViews(backbone_of(teacher).clip_spec, cfg.TEACHER.VIEWS, kept=kept, are_answered=replay.are_answered)


def view_shapes(teacher: Model, losses: Sequence[str] = (), *, classes: bool = False) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of an answer to one view: feature `[D]`, class_logits `[K]`, tokens `[D, t, h, w]`.

    Args:
        teacher: the trained network.
        losses: names of distillation losses. If they compare classes alone, there is no feature.
        classes: whether the student learns classes.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if classes and isinstance(teacher, ClassificationModel) and any(map(compares_answers, losses)):
        shapes["class_logits"] = (teacher.num_classes,)
    backbone, compared = backbone_of(teacher), compared_outputs(losses)
    if "tokens" in compared:
        shapes["tokens"] = map_shapes(backbone, backbone.stages[-1:])[backbone.stages[-1]]
    if not shapes or "feature" in compared:
        shapes["feature"] = (backbone.num_features,)
    return shapes


def view_clips(batch: Batch) -> Tensor:
    """Returns the teacher's clips of a batch whose answers are not kept, uint8 `[B, 1, C, T, H, W]`.

    Raises:
        OSError: they were kept when the batch was read, and are gone.
    """
    if "teacher_clips" not in batch:
        raise OSError("the teacher's answers have gone while the run was reading them: start it again")
    return batch["teacher_clips"]


def match_views(
    student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], *, kept: Sequence[int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns both networks' outputs for the M clips that are compared with a view.

    Args:
        student: `feature` and `adapted_feature`, `[B, N, D]`, of a classifier `class_logits[B, N, K]`, and maps.
        teacher: outputs of the view, e.g. `feature[B, D']`.
        kept: the places of these clips among the N.

    Returns:
        The student's outputs for the M compared clips, `[B, M, ...]`, and the teacher's answer repeated for each of
        them, `[B, M, ...]`. Outputs that are not of single clips stay as they are.
    """
    of_clips = {"feature", "adapted_feature", "class_logits"} & student.keys()
    of_clips |= {name for name in student if name.startswith(MAP)}
    # Slices, because an index would be copied to the device.
    taken = {name: torch.stack([student[name][:, place] for place in kept], dim=1) for name in of_clips}
    spread = {name: output.unsqueeze(1).expand(-1, len(kept), *output.shape[1:]) for name, output in teacher.items()}
    return {**student, **taken}, spread
