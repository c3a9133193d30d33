"""What a student learns from one frozen teacher: the losses, their adapter, and where the answers come from."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from kdvideo.config.teachers import naming_teacher, teacher_configs
from kdvideo.data.batch import Batch
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.views import TeacherViews
from kdvideo.losses.distill import DistillationLoss
from kdvideo.losses.tokens import match_grids
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.registry import HEADS, LOSSES
from kdvideo.tasks.classes import class_order
from kdvideo.tasks.maps import choose_layers, compared_outputs, map_shapes
from kdvideo.tasks.outputs import MAP
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.teacher import Frames, FrozenTeacher, choose_frames, compares_answers
from kdvideo.tasks.views import build_views, match_views, view_clips
from kdvideo.tasks.weighting import LearntWeights

__all__ = ["Lesson", "build_lessons"]


class Lesson(nn.Module):
    """One teacher, the losses that compare the student with it, and the source of its answers.

    Args:
        teacher: the teacher, whose outputs the losses use.
        losses: each distillation loss with its weight, by name. The log uses the same names.
        student_dim: length of the student's features.
        replay: a store of the teacher's answers. Defaults to computing them at each step.
        views: the views to which the teacher answers, if its `frames` are "views". They need a `replay`.
        adaptive: whether the losses' weights are learnt, too; see `LearntWeights`.
        order: for each of the student's classes, the number of the teacher's output. Defaults to the same order.
        layer_dims: channels of each of the student's stages that are compared with the teacher's tokens, by name.

    Attributes:
        adapter: maps the student's features `[B, N, D]` to the teacher's length. It is `nn.Identity` if no loss needs
            an adapter. Where maps are adapted, it is a dictionary of such modules, "feature" and one for each stage.
        layers: the names of these stages.
    """

    order: Tensor | None

    def __init__(
        self,
        teacher: FrozenTeacher,
        *,
        losses: Mapping[str, tuple[float, DistillationLoss]],
        student_dim: int,
        replay: ReplayStore | None = None,
        views: TeacherViews | None = None,
        order: Sequence[int] | None = None,
        adaptive: bool = False,
        layer_dims: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        adapted, head = {loss.output for _, loss in losses.values() if loss.adapts}, HEADS.get("distillation_head")
        self.adapter: nn.Module = nn.Identity()
        if adapted - {"tokens"}:
            self.adapter = head(student_dim, out_features=teacher.num_features)
        self.layers = tuple(layer_dims)
        if "tokens" in adapted:
            channels = teacher.map_shape[0]
            of_maps = {name: head(dim, out_features=channels) for name, dim in layer_dims.items()}
            self.adapter = nn.ModuleDict({"feature": self.adapter, **of_maps})
        self.teacher = teacher
        self.weighted_losses = dict(losses)
        self.weighting = LearntWeights({name: weight for name, (weight, _) in losses.items()}) if adaptive else None
        self.losses = nn.ModuleDict({name: loss for name, (_, loss) in losses.items()})
        self.replay = replay
        self.views = views
        # Not in the store: other students may have another order. A buffer, because a list would be copied each step.
        self.register_buffer("order", None if order is None else torch.tensor(order), persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, student: Model, teacher: Model, replay: ReplayStore | None = None) -> Self:
        """Builds the lesson from TEACHER.

        Args:
            cfg: a valid config.
            student: the student. If both are classifiers and a loss compares answers, their classes must be the same.
            teacher: the teacher's network, which `check_teacher` has checked.
            replay: a store of the teacher's answers.

        Raises:
            ValueError: teacher and student tell other classes apart, or a stage of the student is not known.
        """
        backbone, order, classes = backbone_of(student), None, False
        if isinstance(student, ClassificationModel) and isinstance(teacher, ClassificationModel):
            classes = any(map(compares_answers, cfg.TEACHER.LOSSES))
            order = class_order(student, teacher, name=cfg.TEACHER.WEIGHTS) if classes else None
        views = build_views(cfg, teacher, replay=replay)
        frames: Frames = choose_frames(cfg.TEACHER.SAMPLING, teacher)[0] if views is None else "views"
        asked = cfg.TEACHER.LOSSES
        frozen = FrozenTeacher(
            teacher,
            clip_spec=backbone.clip_spec,
            frames=frames,
            classes=classes,
            outputs=compared_outputs(asked),
        )
        layers = choose_layers(cfg.TEACHER.STUDENT_LAYERS, asked, backbone=backbone)
        _check_something_trains_the_last(backbone, student, layers, losses=asked)
        layer_dims = {name: shape[0] for name, shape in map_shapes(backbone, layers).items()} if layers else {}
        dims = {"student_dim": backbone.num_features, "teacher_dim": frozen.num_features}
        losses = {
            name: (weight, LOSSES.get(name).from_config(cfg, **dims))
            for name, weight in zip(cfg.TEACHER.LOSSES, cfg.TEACHER.LOSS_WEIGHTS, strict=True)
        }
        return cls(
            frozen,
            losses=losses,
            student_dim=backbone.num_features,
            replay=replay,
            views=views,
            order=order,
            adaptive=cfg.TEACHER.WEIGHTING == "adaptive",
            layer_dims=layer_dims,
        )

    @property
    def clip_spec(self) -> ClipSpec | None:
        """Returns the input convention of the `teacher_clips` in each batch. It is None if no such clips are needed."""
        return self.teacher.wanted if self.teacher.frames == "own" else None

    @property
    def trained(self) -> list[nn.Module]:
        """Returns what is trained beside the student: the adapter, and weights that are learnt."""
        return [self.adapter, *([] if self.weighting is None else [self.weighting])]

    @property
    def kept(self) -> dict[str, nn.Module]:
        """Returns what a checkpoint keeps, by the names that it has there."""
        weighting = {} if self.weighting is None else {"weighting": self.weighting}
        return {"losses": self.losses, "adapter": self.adapter, **weighting}

    def describe_losses(self) -> str:
        """Returns the weighted sum in words."""
        learnt = "" if self.weighting is None else "learnt * "
        return " + ".join(f"{learnt}{weight:g} * {name}" for name, (weight, _) in self.weighted_losses.items())

    def forward(self, student: Mapping[str, Tensor], batch: Batch, *, prepared: Tensor) -> dict[str, Tensor]:
        """Computes the losses of one step.

        Args:
            student: the student's outputs, `feature[B, N, D]` and others.
            batch: see `DistillTask.forward`.
            prepared: the student's prepared clips, of which `student` are the outputs.

        Returns:
            Scalars: `kd_loss`, the weighted sum, with a gradient. For the log: each loss by its name, `NAME_weight`
            where weights are learnt, and `teacher_agreement`, the share of equal answers, where both networks have
            pretext logits or both have classes.
        """
        adapter = self.adapter["feature"] if isinstance(self.adapter, nn.ModuleDict) else self.adapter
        student = {**student, "adapted_feature": adapter(student["feature"])}
        teacher = self.answers(batch, prepared=prepared if self.replay is None else None)
        if self.views is not None:
            student, teacher = match_views(student, teacher, kept=self.views.kept)
        parts = {name: self._compute(loss, student, teacher) for name, (_, loss) in self.weighted_losses.items()}
        scalars = {"kd_loss": self._weigh(parts), **{name: part.detach() for name, part in parts.items()}}
        if self.weighting is not None:
            scalars |= {f"{name}_weight": weight for name, weight in self.weighting.current().items()}
        for answer in {"pretext_logits", "class_logits"} & {*teacher} & {*student}:
            if teacher[answer].shape == student[answer].shape:
                answers, wanted = (outputs[answer].detach().argmax(dim=-1) for outputs in (student, teacher))
                scalars["teacher_agreement"] = (answers == wanted).float().mean()
        return scalars

    def _weigh(self, parts: Mapping[str, Tensor]) -> Tensor:
        if self.weighting is not None:
            return self.weighting(parts)
        return torch.stack([weight * parts[name] for name, (weight, _) in self.weighted_losses.items()]).sum()

    def _compute(self, loss: DistillationLoss, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """Returns a loss, `[]`. One of tokens is averaged over the student's stages."""
        if loss.output != "tokens":
            return loss(*_compared(loss, student, teacher))
        pairs = [match_grids(student[MAP + layer], teacher["tokens"]) for layer in self.layers]
        if loss.adapts and isinstance(self.adapter, nn.ModuleDict):
            # Behind the resampling, which it commutes with: there are fewer places.
            adapters = [self.adapter[layer] for layer in self.layers]
            pairs = [
                (adapt(own.movedim(2, -1)).movedim(-1, 2), theirs)
                for adapt, (own, theirs) in zip(adapters, pairs, strict=True)
            ]
        return torch.stack([loss(own, theirs) for own, theirs in pairs]).mean()

    def answers(self, batch: Batch, *, prepared: Tensor | None = None) -> Mapping[str, Tensor]:
        """Returns the teacher's outputs, `feature[B, N, D]` and others. If there is a `replay`, they come from it.

        A teacher with views has one answer for each video, so there is no N: `feature[B, D]`, `class_logits[B, K]`
        or `tokens[B, D, t, h, w]`, whichever the losses compare. Classes are in the student's order.

        Args:
            batch: see `DistillTask.forward`.
            prepared: the student's prepared clips, which the teacher takes if its input is the same.
        """

        def compute() -> dict[str, Tensor]:
            if self.views is not None:
                return {name: output[:, 0] for name, output in self.teacher(view_clips(batch)).items()}
            if prepared is not None and self.teacher.sees_the_same:
                return self.teacher.answer(prepared)
            return self.teacher(self.teacher.choose_clips(batch))

        outputs = compute() if self.replay is None else self.replay.answer(batch, compute)
        if self.order is not None and "class_logits" in outputs:
            outputs = {**outputs, "class_logits": outputs["class_logits"].index_select(-1, self.order)}
        return outputs

    def has_answers(self, batch: Batch) -> bool:
        """Tells whether no answer to a batch is still to be stored."""
        return self.replay is None or self.replay.has_answers(batch)

    def complete_batch(self, batch: Batch) -> Batch:
        """Adds the answers of `replay` to a batch in the host's memory, if there is one."""
        if self.replay is None:
            return batch
        completed = self.replay.look_up(batch)
        if self.views is not None and "teacher_clips" not in batch:
            completed = self.replay.look_up_again(batch, completed)
        if self.views is not None and self.replay.has_answers(completed):
            completed.pop("teacher_clips", None)  # another run has stored the answers meanwhile
        return completed

    def flush(self) -> None:
        """Writes the teacher's latest answers to `replay`."""
        if self.replay is not None:
            self.replay.flush()


def build_lessons(
    cfg: CfgNode, *, student: Model, teachers: Sequence[tuple[Model, ReplayStore | None]]
) -> list[Lesson]:
    """Builds the lessons of TEACHER or TEACHERS.

    Args:
        cfg: a valid config.
        student: see `Lesson.from_config`.
        teachers: each teacher's network, and the store of its answers or None.
    """
    lessons = []
    configs = teacher_configs(cfg) if cfg.TEACHERS else [cfg]
    for number, (one, (teacher, replay)) in enumerate(zip(configs, teachers, strict=True), start=1):
        with naming_teacher(cfg, number):
            lessons.append(Lesson.from_config(one, student=student, teacher=teacher, replay=replay))
    return lessons


def _compared(
    loss: DistillationLoss, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Returns what a loss compares of both. In a run that learns classes, answers are those, clip by clip."""
    output = loss.output
    if output == "pretext_logits" and "class_logits" in student:
        output = "class_logits"
    if output == "class_logits":
        return student[output].flatten(0, 1), teacher[output].flatten(0, 1)
    return student["adapted_feature" if loss.adapts else output], teacher[output]


def _check_something_trains_the_last(
    backbone: Backbone, student: Model, layers: Sequence[str], *, losses: Sequence[str]
) -> None:
    unused = layers and backbone.stages[-1] not in layers
    if unused and student is backbone and compared_outputs(losses) == {"tokens"}:
        raise ValueError(
            f"`student_layers` is {list(layers)}, and `losses` {list(losses)} compare nothing else, so what is behind "
            f"these stages would learn nothing: add {backbone.stages[-1]}, or a loss of features"
        )
