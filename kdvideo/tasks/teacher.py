"""A frozen teacher: its input, its outputs, and whether it fits the losses."""

from collections.abc import Collection, Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from kdvideo.data.batch import Batch
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.resize import resize_frames
from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.registry import LOSSES, PRETEXTS
from kdvideo.tasks.maps import compared_outputs, map_shapes
from kdvideo.tasks.outputs import MAP, compute_outputs
from kdvideo.tasks.preparation import ClipPreparation

__all__ = [
    "Frames",
    "FrozenTeacher",
    "check_teacher",
    "choose_frames",
    "compares_answers",
    "feature_losses",
    "resample_clips",
    "teacher_output_shapes",
]

# The student's clips, resampled; the teacher's own clips over the same spans; or its views of the whole video.
Frames = Literal["shared", "own", "views"]


class FrozenTeacher(nn.Module):
    """A trained network that is not trained any further.

    It has no gradient, stays in eval mode, and gets clips in its own input convention.

    Args:
        model: the trained network.
        clip_spec: the student's input convention.
        frames: "shared" gives it the student's clips, resampled if they are too long or too large. "own" gives it clips
            of its own length and size over the same spans, which the batch contains as `teacher_clips`. With "views" it
            is one clip, not augmented, so a pretext head is not used.
        classes: whether a classifier also answers with its classes. By default, its backbone is used alone.
        outputs: what the losses compare. With "tokens" the last map is computed, and features are then left out unless
            a loss or a head needs them.
    """

    def __init__(
        self,
        model: Model,
        *,
        clip_spec: ClipSpec,
        frames: Frames = "shared",
        classes: bool = False,
        outputs: Collection[str] = ("feature",),
    ) -> None:
        super().__init__()
        self.outputs = frozenset(outputs)
        with_head = frames != "views" if isinstance(model, PCLModel) else classes
        self.model = model if with_head else backbone_of(model)
        self.model.eval().requires_grad_(False)
        self.frames = frames
        self.span = clip_spec.extent
        self.given = clip_spec if frames == "shared" else self.wanted
        self.prepare = ClipPreparation(self.wanted)

    @property
    def wanted(self) -> ClipSpec:
        """The teacher's own input convention."""
        return backbone_of(self.model).clip_spec

    @property
    def sees_the_same(self) -> bool:
        """Returns whether the student's prepared clips are the teacher's input as they are."""
        given, wanted = self.given, self.wanted
        same_shape = (given.clip_len, given.size) == (wanted.clip_len, wanted.size)
        return self.frames == "shared" and same_shape and given.convention == wanted.convention

    @property
    def map_shape(self) -> tuple[int, int, int, int]:
        """Returns the shape `[D, t, h, w]` of a clip's tokens."""
        backbone = backbone_of(self.model)
        return map_shapes(backbone, backbone.stages[-1:])[backbone.stages[-1]]

    @property
    def num_features(self) -> int:
        """The length of the teacher's features."""
        return backbone_of(self.model).num_features

    def train(self, mode: bool = True) -> Self:
        """Does nothing: `task.train()` must not put the teacher's BatchNorm into train mode."""
        return self

    def choose_clips(self, batch: Batch) -> Tensor:
        """Returns the teacher's clips of a batch, uint8 `[B, N, C, T, H, W]`."""
        return batch["clips"] if self.frames == "shared" else batch["teacher_clips"]

    @torch.no_grad()
    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """Computes the outputs for the clips that `choose_clips` returns.

        Args:
            clips: uint8 `[B, N, C, T, H, W]`.

        Returns:
            `feature[B, N, D]`, with `classes` also `class_logits[B, N, K]`, and all other outputs of a `PCLModel`.
            If losses compare them, also `tokens[B, N, D', t, h, w]`, the last map.
        """
        return self.answer(self.prepare(resample_clips(clips, given=self.given, wanted=self.wanted)))

    @torch.no_grad()
    def answer(self, prepared: Tensor) -> dict[str, Tensor]:
        """Computes the outputs for clips that are prepared already. They are those of `forward`.

        Args:
            prepared: float32 `[B, N, C, T, H, W]` in the teacher's input convention.
        """
        if "tokens" not in self.outputs:
            return compute_outputs(self.model, prepared)
        last = backbone_of(self.model).stages[-1]
        answers = compute_outputs(self.model, prepared, stages=(last,), feature="feature" in self.outputs)
        answers["tokens"] = answers.pop(MAP + last).contiguous()  # as a store gives them: sums have the same order
        return answers

    def describe(self) -> str:
        """Returns a line for the log that says how the teacher sees the student's clips."""
        given, wanted = self.given, self.wanted
        if self.frames == "views":
            how = "views of each video that are the same in all epochs"
        elif self.frames == "own":
            how = "its own of the spans of the student's clips"
            if self.span < wanted.clip_len:
                how += f", which have {self.span} frames and are repeated"
        elif (given.clip_len, given.size) != (wanted.clip_len, wanted.size):
            how = "resampled from the student's clips"
        else:
            how = "the student's own clips"
        if given.frame_stride != wanted.frame_stride:
            how += f" at their frame stride {given.frame_stride} instead of its own {wanted.frame_stride}"
        frames = f"{wanted.clip_len} {wanted.modality} frames of {wanted.size} x {wanted.size}"
        return f"the teacher sees {frames}, {how}, normalised by its mean {wanted.mean} and std {wanted.std}"


def choose_frames(sampling: Literal["auto"] | Frames, teacher: Model | None) -> tuple[Frames, str]:
    """Returns what "auto" stands for.

    Args:
        sampling: anything but "auto" is returned as it is.
        teacher: the teacher's network, if there is one.

    Returns:
        "shared" or "own", and why, in words; "" where nothing was chosen.
    """
    if sampling != "auto":
        return sampling, ""
    if teacher is None:
        return "shared", ""
    backbone = backbone_of(teacher)
    if getattr(backbone, "takes_any_clip", True):
        return "shared", "the teacher takes clips of any length and size"
    clip = backbone.clip_spec
    return "own", f"the teacher takes clips of {clip.clip_len} frames of {clip.size} x {clip.size} only"


def resample_clips(clips: Tensor, *, given: ClipSpec, wanted: ClipSpec) -> Tensor:
    """Resamples clips to another length and size.

    Frames are subsampled evenly over the same span. Pictures are resized.

    Args:
        clips: uint8 `[..., C, T, H, W]` in the form of `given`.
        given: current length and size of the clips.
        wanted: new length and size, and how pictures are resized.
    """
    if given.clip_len != wanted.clip_len:
        frames = torch.linspace(0, given.clip_len - 1, wanted.clip_len, device=clips.device).round().long()
        clips = clips.index_select(-3, frames)
    if given.size != wanted.size:
        *leading, channels, length, height, width = clips.shape
        frames_first = clips.transpose(-4, -3).reshape(-1, channels, height, width)
        resized = resize_frames(frames_first, [wanted.size] * 2, wanted.interpolation)
        clips = resized.view(*leading, length, channels, wanted.size, wanted.size).transpose(-4, -3)
    return clips


def teacher_output_shapes(teacher: Model, losses: Sequence[str], *, tuple_len: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a teacher's outputs for one sample.

    Args:
        teacher: the trained network.
        losses: names of distillation losses. The result has the outputs that they compare, and the pretext logits.
        tuple_len: N, the clips of a tuple.

    Returns:
        For each output, its shape: `[N, D]` of "feature", `[P]` of "pretext_logits", `[N, K]` of "class_logits",
        `[N, D, t, h, w]` of "tokens".
    """
    shapes: dict[str, tuple[int, ...]] = {}
    backbone, compared = backbone_of(teacher), compared_outputs(losses)
    if "feature" in compared:
        shapes["feature"] = (tuple_len, backbone.num_features)
    if "tokens" in compared:
        shapes["tokens"] = (tuple_len, *map_shapes(backbone, backbone.stages[-1:])[backbone.stages[-1]])
    if isinstance(teacher, PCLModel):
        shapes["pretext_logits"] = (teacher.pretext_head.num_classes,)
    if isinstance(teacher, ClassificationModel) and any(map(compares_answers, losses)):
        shapes["class_logits"] = (tuple_len, teacher.num_classes)
    return shapes


def check_teacher(
    teacher: Model,
    losses: Sequence[str],
    *,
    name: str,
    pretext: str,
    tuple_len: int,
    frames: Frames = "shared",
    classes: bool = False,
) -> None:
    """Checks that a teacher can use a run's clips and has the outputs that the losses compare.

    Args:
        teacher: the trained network.
        losses: names of distillation losses.
        name: the teacher's name, for messages.
        pretext: a name of PRETEXTS.
        tuple_len: the clips of a tuple.
        frames: "shared" or "own"; see `FrozenTeacher`.
        classes: whether the student learns classes, so that answers are those of a classifier and not to a pretext.

    Raises:
        ValueError: its own clips do not suit the pretext, it has no classes, no pretext head, or its head is for
            another number of classes or of clips in a tuple.
    """
    if frames == "own":
        _check_own_frames(backbone_of(teacher).clip_spec, pretext=pretext, tuple_len=tuple_len)
    if not any(map(compares_answers, losses)):
        return
    if not classes:
        _check_pretext_head(teacher, losses, name=name, pretext=pretext, tuple_len=tuple_len)
    elif not isinstance(teacher, ClassificationModel):
        raise ValueError(
            f"`teacher` {name} has no classes, which `losses` {list(losses)} compare: choose a classifier, or "
            f"{' or '.join(feature_losses())}"
        )


def compares_answers(loss: str) -> bool:
    """Tells whether a distillation loss compares the answers of heads: to a pretext or, of classifiers, the classes."""
    return getattr(LOSSES.get(loss), "output", "") in ("pretext_logits", "class_logits")


def feature_losses() -> list[str]:
    """Returns the names of the distillation losses that compare features or maps, so that no head is needed."""
    return [name for name in LOSSES.names() if getattr(LOSSES.get(name), "output", "") in ("feature", "tokens")]


def _check_own_frames(clip: ClipSpec, *, pretext: str, tuple_len: int) -> None:
    try:
        PRETEXTS.get(pretext).check(clip_len=clip.clip_len, size=clip.size, tuple_len=tuple_len)
    except ValueError:
        raise ValueError(
            f"`frames` own: the teacher's clips of {clip.clip_len} frames of {clip.size} x {clip.size} do not "
            f"suit the pretext {pretext}; use `frames` shared"
        ) from None


def _check_pretext_head(teacher: Model, losses: Sequence[str], *, name: str, pretext: str, tuple_len: int) -> None:
    if not isinstance(teacher, PCLModel):
        raise ValueError(
            f"`teacher` {name} has no pretext head, which `losses` {list(losses)} compare: "
            f"choose of {', '.join(feature_losses())}"
        )
    head, num_classes = teacher.pretext_head, PRETEXTS.get(pretext).num_classes
    if head.num_classes != num_classes:
        raise ValueError(
            f"`teacher` {name} answers {head.num_classes} pretext classes, but `pretext` {pretext} has "
            f"{num_classes}: choose a teacher that was trained with {pretext}"
        )
    if head.tuple_len != tuple_len:
        raise ValueError(
            f"`teacher` {name} takes tuples of {head.tuple_len} clips, but `tuple_len` is {tuple_len}: "
            f"set it to {head.tuple_len} or choose another teacher"
        )
