"""Distillation between networks of different libraries, each with its own input."""

import pytest
import torch

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.losses import BatchNCE, EmbeddingDistillation, SimilarityDistillation
from kdvideo.models.pcl import build_backbone, build_pcl_model
from kdvideo.tasks import DistillTask, FrozenTeacher, Lesson
from kdvideo.tasks.teacher import resample_clips

CLIP = ClipSpec(clip_len=8, size=32)  # residual
TEACHERS = ClipSpec(clip_len=4, size=48, mean=(0.4, 0.3, 0.5), std=(0.2, 0.25, 0.3), modality="rgb")
BATCH = {
    "clips": torch.randint(0, 256, (2, 3, 3, 8, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
    "pretext_label": torch.tensor([0, 1]),
    "index": torch.arange(2),
    "negatives": torch.zeros(2, 0, dtype=torch.int64),
}


@pytest.mark.parametrize(
    ("teacher_name", "student_name"),
    [("x3d_xs", "r3d_18"), ("mc3_18", "efficient_x3d_xs"), ("r2plus1d_18", "x3d_xs"), ("efficient_x3d_xs", "mc3_18")],
)
def test_any_teaches_any(teacher_name: str, student_name: str):
    """The teacher's feature is its own code's on its own input, the student learns from it, the teacher stays."""
    torch.manual_seed(0)
    teacher = build_backbone(teacher_name, clip_spec=TEACHERS)
    student = build_pcl_model(build_backbone(student_name, clip_spec=CLIP))
    dims = {"student_dim": student.backbone.num_features, "teacher_dim": teacher.num_features}
    losses = {"embedding": (1.0, EmbeddingDistillation()), "similarity": (1.0, SimilarityDistillation(**dims))}
    lesson = Lesson(FrozenTeacher(teacher, clip_spec=CLIP), losses=losses, student_dim=dims["student_dim"])
    task = DistillTask(student, contrast=BatchNCE(), lessons=[lesson])
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    own_input = prepare_clips(resample_clips(BATCH["clips"], given=CLIP, wanted=TEACHERS), TEACHERS).flatten(0, 1)
    assert own_input.shape == (6, 3, 4, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(lesson.teacher(BATCH["clips"])["feature"].flatten(0, 1), teacher(own_input))
    outputs = task.train()(BATCH)
    assert torch.isfinite(outputs["loss"])
    assert 0 < outputs["embedding"] < 2
    outputs["loss"].backward()
    stem = next(task.student.backbone.parameters())
    assert stem.grad is not None
    assert stem.grad.abs().sum() > 0
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
