"""Files of other projects as teachers, from the config to the student."""

from pathlib import Path

import pytest
import torch
from foreign import read_reference
from torchvision.models import video

from kdvideo.config import load_config
from kdvideo.engine.launch import train

DISTILL = ["TASK.NAME", "distill", "SOLVER.EPOCHS", "1", "TEACHER.WEIGHTS"]
SMALL = "{mean: [0.43, 0.39, 0.38], std: [0.23, 0.22, 0.22], clip_len: 8, size: 32, modality: %s}"


def test_a_classifier_teaches_by_its_features(tiny_overrides: list[str], tmp_path: Path):
    """A bare file of torchvision's is refused without its input convention, and teaches with it."""
    path = str(tmp_path / "r3d_18.pth")
    torch.save(video.r3d_18().state_dict(), path)
    teacher = [*DISTILL, path, "TEACHER.LOSSES", "['embedding_distillation']"]
    with pytest.raises(ValueError, match=r"layout torchvision-r3d_18.* one of torchvision as TEACHER\.CLIP_SPEC"):
        train(load_config(None, [*tiny_overrides, *teacher]))
    with pytest.raises(ValueError, match=r"TEACHER\.CLIP_SPEC: unknown input convention 'torchvison': did you mean"):
        train(load_config(None, [*tiny_overrides, *teacher, "TEACHER.CLIP_SPEC", "torchvison"]))
    result = train(load_config(None, [*tiny_overrides, *teacher, "TEACHER.CLIP_SPEC", SMALL % "rgb"]))
    assert '"embedding_distillation": ' in (result.output_dir / "metrics.jsonl").read_text()
    assert "the teacher sees 8 rgb frames of 32 x 32" in (result.output_dir / "log.txt").read_text()


def test_an_official_pcl_file_teaches_by_its_answers(foreign_outputs: Path, tiny_overrides: list[str], tmp_path: Path):
    """With its pretext head: logit distillation, as in the paper."""
    state, _ = read_reference(foreign_outputs, "pcl_r3d")
    path = str(tmp_path / "best_model_200.pt")
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    result = train(load_config(None, [*tiny_overrides, *DISTILL, path, "TEACHER.CLIP_SPEC", SMALL % "residual"]))
    assert '"teacher_agreement": ' in (result.output_dir / "metrics.jsonl").read_text()
