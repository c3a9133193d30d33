"""PCL and distillation as tasks: what is in the loss, what the teacher sees, and that it never changes."""

import pytest
import torch
from torch.nn import functional as F

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.losses import BankNCE, BatchNCE, LogitDistillation
from kdvideo.models.pcl import build_backbone, build_pcl_model
from kdvideo.tasks import DistillTask, FrozenTeacher, Lesson, PCLTask
from kdvideo.tasks.teacher import check_teacher, resample_clips, teacher_output_shapes

CLIP = ClipSpec(clip_len=4, size=32)


def build(backbone: str = "r3d_10", clip_spec: ClipSpec = CLIP, **kwargs):
    return build_pcl_model(build_backbone(backbone, width=4, clip_spec=clip_spec), **{"projection_dim": 16, **kwargs})


def make_batch(size: int = 4) -> dict:
    generator = torch.Generator().manual_seed(0)
    return {
        "clips": torch.randint(0, 256, (size, 3, 3, 4, 32, 32), dtype=torch.uint8, generator=generator),
        "pretext_label": torch.tensor([0, 1, 4, 2])[:size],
        "index": torch.arange(size),
        "negatives": torch.tensor([[4, 5], [5, 6], [6, 7], [7, 4]])[:size],
    }


def distill_task(student, teacher, weight: float = 1.0) -> DistillTask:
    losses = {"logit_distillation": (weight, LogitDistillation(temperature=2.0))}
    return DistillTask(student, contrast=BatchNCE(), lessons=[make_lesson(teacher, losses, student=student)])


def make_lesson(teacher, losses, *, student) -> Lesson:
    frozen = teacher if isinstance(teacher, FrozenTeacher) else FrozenTeacher(teacher, clip_spec=CLIP)
    return Lesson(frozen, losses=losses, student_dim=student.backbone.num_features)


def test_pcl_loss_is_its_parts():
    """loss = cross-entropy + 0.5 * both directions of the contrastive loss (arXiv 2010.15464, equation 5)."""
    task = PCLTask(build(), contrast=BatchNCE(), contrast_weight=0.5).eval()
    batch = make_batch()
    outputs = task(batch)
    seen = task.trainable(prepare_clips(batch["clips"], CLIP))
    pretext = F.cross_entropy(seen["pretext_logits"], batch["pretext_label"])
    expected = pretext + 0.5 * BatchNCE()(seen["z"], batch["index"])
    torch.testing.assert_close(outputs["loss"], expected)
    assert (
        outputs["train_pretext_accuracy"] == (seen["pretext_logits"].argmax(1) == batch["pretext_label"]).float().mean()
    )


def test_distillation_is_added():
    """loss = PCL's loss + weight * tau^2 * KL; a teacher equal to the student adds nothing."""
    student, teacher = build(), build("r2plus1d_10")
    batch = make_batch()
    alone = PCLTask(student, contrast=BatchNCE()).eval()(batch)
    distilled = distill_task(student, teacher, weight=3.0).eval()(batch)
    torch.testing.assert_close(distilled["loss"], alone["loss"] + 3.0 * distilled["logit_distillation"])
    torch.testing.assert_close(distilled["kd_loss"], 3.0 * distilled["logit_distillation"])
    assert distilled["kd_loss"] > 0
    itself = distill_task(student, student).eval()(batch)
    assert itself["kd_loss"].abs() < 1e-6
    assert itself["teacher_agreement"] == 1


@pytest.mark.parametrize("teacher_name", ["r3d_18", "r2plus1d_10"])
def test_a_step_changes_the_student_only(teacher_name: str):
    """No teacher tensor moves, BatchNorm statistics included; it is in no state of the task and gets no gradient."""
    student, teacher = build(), build(teacher_name)
    task = distill_task(student, teacher)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    student_before = {key: value.clone() for key, value in student.state_dict().items()}
    task.train()
    assert not teacher.training
    optimizer = torch.optim.SGD(task.trainable.parameters(), lr=0.1)
    task(make_batch())["loss"].backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert any(not torch.equal(value, student_before[key]) for key, value in student.state_dict().items())
    assert task.student is student
    assert task.task_state() == {}


def test_student_state_has_the_three_parts():
    """A published student can teach: it has its heads."""
    parts = {key.split(".")[0] for key in PCLTask(build(), contrast=BatchNCE()).student.state_dict()}
    assert parts == {"backbone", "pretext_head", "projection_head"}


def test_banks_are_task_state():
    """Memory banks survive a checkpoint, unlike in PCL's own code."""
    first, second = (PCLTask(build(), contrast=BankNCE(num_videos=8, dim=16, seed=seed)) for seed in (0, 1))
    first.train()
    first(make_batch())
    second.load_task_state(first.task_state())
    for a, b in zip(first.contrast.banks, second.contrast.banks, strict=True):
        assert torch.equal(a.vectors, b.vectors)


def test_no_adapter_where_none_is_needed():
    """The student's feature passes through unchanged, and a checkpoint holds nothing of it."""
    task = distill_task(build(), build("r2plus1d_10")).eval()
    outputs = task.trainable(prepare_clips(make_batch()["clips"], CLIP))
    assert torch.equal(task.lessons[0].adapter(outputs["feature"]), outputs["feature"])
    assert list(task.trainable.adapters.parameters()) == []
    task.load_task_state({})  # what versions before wrote, which had no adapter here


def test_a_teacher_with_frames_of_its_own():
    """It takes `teacher_clips` as they are; the loader is told of what convention they have to be."""
    own = ClipSpec(clip_len=4, size=16, frame_stride=2, modality="rgb")
    teacher = FrozenTeacher(build(clip_spec=own), clip_spec=CLIP, frames="own")
    losses = {"logit_distillation": (1.0, LogitDistillation())}
    student = build()
    task = DistillTask(student, contrast=BatchNCE(), lessons=[make_lesson(teacher, losses, student=student)])
    assert task.teacher_clip_spec == own
    assert distill_task(build(), build()).teacher_clip_spec is None
    batch = make_batch()
    batch["teacher_clips"] = torch.randint(0, 256, (4, 3, 3, 4, 16, 16), dtype=torch.uint8)
    expected = teacher.model(prepare_clips(batch["teacher_clips"], own))["pretext_logits"]
    assert torch.equal(task.lessons[0].answers(batch)["pretext_logits"], expected)
    assert "its own of the spans of the student's clips, normalised" in teacher.describe()


@pytest.mark.parametrize(
    ("losses", "outputs"),
    [
        (["logit_distillation"], {"pretext_logits"}),
        (["embedding_distillation"], {"feature", "pretext_logits"}),
        (["logit_distillation", "similarity_distillation"], {"feature", "pretext_logits"}),
    ],
)
def test_shapes_of_what_a_teacher_answers(losses: list[str], outputs: set[str]):
    """One sample's, of what the losses compare and of the pretext logits; equal to what it gives."""
    model = build("r2plus1d_10")
    shapes = teacher_output_shapes(model, losses, tuple_len=3)
    answers = FrozenTeacher(model, clip_spec=CLIP)(make_batch()["clips"])
    assert shapes == {name: answers[name].shape[1:] for name in outputs}


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        (ClipSpec(clip_len=4, size=32, frame_stride=2), True),  # frames are the student's anyway
        (ClipSpec(clip_len=4, size=16), False),
        (ClipSpec(clip_len=4, size=32, modality="rgb"), False),
    ],
)
def test_clips_are_prepared_once_where_both_see_the_same(spec: ClipSpec, same: bool):
    """The teacher then takes the student's prepared clips, to the bit; otherwise it prepares its own."""
    task, batch = distill_task(build(), build(clip_spec=spec)), make_batch()
    prepared_by: list[str] = []
    for name, module in (("student", task.prepare), ("teacher", task.lessons[0].teacher.prepare)):
        module.register_forward_hook(lambda *_, name=name: prepared_by.append(name))
    task(batch)
    assert prepared_by == (["student"] if same else ["student", "teacher"])
    [lesson] = task.lessons
    alone, shared = lesson.answers(batch), lesson.answers(batch, prepared=task.prepare(batch["clips"]))
    assert torch.equal(shared["pretext_logits"], alone["pretext_logits"])


def test_teacher_with_its_own_input():
    """A teacher of another length, size and modality gets the same span in its own convention."""
    wanted = ClipSpec(clip_len=2, size=16, modality="rgb", mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    teacher = FrozenTeacher(build(clip_spec=ClipSpec(clip_len=4, size=16, modality="rgb")), clip_spec=CLIP)
    clips = make_batch()["clips"]
    assert teacher(clips)["pretext_logits"].shape == (4, 5)
    assert "4 rgb frames of 16 x 16, resampled from the student's clips" in teacher.describe()
    resampled = resample_clips(clips, given=CLIP, wanted=wanted)
    assert resampled.shape == (4, 3, 3, 2, 16, 16)
    assert resampled.dtype == torch.uint8
    same_size = resample_clips(clips, given=CLIP, wanted=ClipSpec(clip_len=2, size=32))
    assert torch.equal(same_size, clips[:, :, :, [0, 3]])  # first and last frame: the whole span


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_pretext_classes": 6}, "`teacher` t answers 6 pretext classes, but `pretext` vcp has 5"),
        ({"tuple_len": 5}, "`teacher` t takes tuples of 5 clips, but `tuple_len` is 3: set it to 5"),
    ],
)
def test_a_teacher_of_another_task_is_refused(kwargs: dict, message: str):
    """With the reason."""
    with pytest.raises(ValueError, match=message):
        check_teacher(build(**kwargs), ["logit_distillation"], name="t", pretext="vcp", tuple_len=3)


@pytest.mark.parametrize("loss", ["logit_distillation", "embedding_distillation"])
def test_a_teacher_whose_own_frames_do_not_suit_the_pretext_is_refused(loss: str):
    """Six frames have no quarters to exchange; shared frames are resampled after the exchange."""
    facts = {"name": "t", "pretext": "vcp", "tuple_len": 3}
    teacher = build(clip_spec=ClipSpec(clip_len=6, size=32))
    check_teacher(teacher, [loss], **facts, frames="shared")
    with pytest.raises(ValueError, match="`frames` own: the teacher's clips of 6 frames of 32 x 32 do not suit the"):
        check_teacher(teacher, [loss], **facts, frames="own")


def test_residual_input():
    """x.roll(1, T) - x of normalised frames; the mean drops out."""
    clip = torch.arange(3 * 4, dtype=torch.uint8).view(3, 4, 1, 1)
    rgb = prepare_clips(clip, ClipSpec(clip_len=4, size=1, modality="rgb", mean=(0, 0, 0), std=(0.5, 0.5, 0.5)))
    torch.testing.assert_close(rgb, clip.float() / 255 / 0.5)
    residual = prepare_clips(clip, ClipSpec(clip_len=4, size=1, modality="residual", std=(0.5, 0.5, 0.5)))
    step = 1 / 255 / 0.5
    expected = torch.tensor([3 * step, -step, -step, -step]).view(1, 4, 1, 1).expand(3, 4, 1, 1)
    torch.testing.assert_close(residual, expected, atol=1e-6, rtol=0)
