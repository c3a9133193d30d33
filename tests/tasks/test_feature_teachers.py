"""Teachers without a pretext head: what their features teach, alone and mixed."""

import pytest
import torch
from torch.nn import functional as F

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.losses import BatchNCE, EmbeddingDistillation, LogitDistillation, SimilarityDistillation
from kdvideo.models.pcl import ClassificationModel, build_backbone, build_pcl_model
from kdvideo.tasks import DistillTask, FrozenTeacher, Lesson, PCLTask
from kdvideo.tasks.teacher import check_teacher

CLIP = ClipSpec(clip_len=4, size=32)
STUDENT_DIM, TEACHER_DIM = 32, 64


def backbone(name: str = "r3d_18", width: int = 8):
    return build_backbone(name, width=width, clip_spec=CLIP)


def make_batch() -> dict:
    generator = torch.Generator().manual_seed(0)
    return {
        "clips": torch.randint(0, 256, (4, 3, 3, 4, 32, 32), dtype=torch.uint8, generator=generator),
        "pretext_label": torch.tensor([0, 1, 4, 2]),
        "index": torch.arange(4),
        "negatives": torch.zeros(4, 0, dtype=torch.int64),
    }


def make_task(teacher, **losses) -> DistillTask:
    student = build_pcl_model(build_backbone("r3d_10", width=4, clip_spec=CLIP), projection_dim=16)
    frozen = FrozenTeacher(teacher, clip_spec=CLIP)
    lesson = Lesson(frozen, losses=losses, student_dim=student.backbone.num_features)
    return DistillTask(student, contrast=BatchNCE(), lessons=[lesson])


def similarity(num_anchors: int = 16) -> SimilarityDistillation:
    return SimilarityDistillation(student_dim=STUDENT_DIM, teacher_dim=TEACHER_DIM, num_anchors=num_anchors)


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: ClassificationModel(net, num_classes=7)])
def test_a_backbone_teaches_by_its_features(wrap):
    """A backbone alone or with a classifier on it: the feature is the backbone's of the teacher's own input."""
    teacher = backbone()
    batch = make_batch()
    features = FrozenTeacher(wrap(teacher), clip_spec=CLIP)(batch["clips"])["feature"]
    expected = torch.stack([teacher(prepare_clips(clips, CLIP)) for clips in batch["clips"]])
    assert features.shape == (4, 3, TEACHER_DIM)
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-6)


def test_embedding_goes_through_the_adapter():
    """kd = 1 - cosine of the adapted feature; the adapter is trained and checkpointed, the zoo does not see it."""
    task = make_task(backbone(), embedding_distillation=(2.0, EmbeddingDistillation())).eval()
    batch = make_batch()
    outputs = task(batch)
    clips = prepare_clips(batch["clips"], CLIP)
    [lesson] = task.lessons
    adapted = lesson.adapter(task.student(clips)["feature"])
    taught = lesson.teacher(batch["clips"])["feature"]
    expected = torch.stack(
        [1 - F.cosine_similarity(a, t, dim=0) for a, t in zip(adapted.flatten(0, 1), taught.flatten(0, 1), strict=True)]
    )
    torch.testing.assert_close(outputs["embedding_distillation"], expected.mean())
    torch.testing.assert_close(outputs["kd_loss"], 2 * expected.mean())
    assert "teacher_agreement" not in outputs
    outputs["loss"].backward()
    assert all(parameter.grad is not None for parameter in lesson.adapter.parameters())
    assert {*lesson.adapter.parameters()} <= {*task.trainable.parameters()}
    assert not any("adapter" in key for key in task.student.state_dict())
    assert {"adapter.weight", "adapter.bias"} <= set(task.task_state())


def test_losses_mix_by_their_weights():
    """Logits and both kinds of features from one teacher."""
    teacher = build_pcl_model(backbone(), projection_dim=16)
    task = make_task(
        teacher,
        logit_distillation=(1.0, LogitDistillation()),
        embedding_distillation=(0.5, EmbeddingDistillation()),
        similarity_distillation=(0.25, similarity()),
    ).eval()
    batch = make_batch()
    outputs = task(batch)
    alone = PCLTask(task.student, contrast=BatchNCE()).eval()(batch)
    mixed = (
        outputs["logit_distillation"]
        + 0.5 * outputs["embedding_distillation"]
        + 0.25 * outputs["similarity_distillation"]
    )
    torch.testing.assert_close(outputs["kd_loss"], mixed)
    torch.testing.assert_close(outputs["loss"], alone["loss"] + mixed)


def test_task_state_goes_round():
    """Queue and adapter of one task, loaded into another, give its losses."""
    losses = {"embedding_distillation": (1.0, EmbeddingDistillation())}
    teacher = backbone()
    first = make_task(teacher, similarity_distillation=(1.0, similarity()), **losses)
    second = make_task(teacher, similarity_distillation=(1.0, similarity()), **losses)
    first.train()(make_batch())
    second.student.load_state_dict(first.student.state_dict())
    second.load_task_state(first.task_state())
    batch = make_batch()
    assert torch.equal(first.eval()(batch)["loss"], second.eval()(batch)["loss"])


def test_the_pretext_needs_a_head():
    """A backbone has no answers to imitate; features it has."""
    facts = {"name": "t", "tuple_len": 3, "pretext": "vcp"}
    check_teacher(backbone(), ["embedding_distillation", "similarity_distillation"], **facts)
    with pytest.raises(ValueError, match=r"has no pretext head.*choose of embedding_distillation, isotropic_mse"):
        check_teacher(backbone(), ["embedding_distillation", "logit_distillation"], **facts)
