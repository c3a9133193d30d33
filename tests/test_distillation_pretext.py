"""benchmarks/distillation_pretext.py: the study that it makes is the shipped one's, and what its line says."""

from pathlib import Path

import distillation_pretext as script
import pytest
import yaml

from kdvideo.study.plan import build_config, plan_runs
from kdvideo.study.read import read_study


def make(tmp_path: Path, losses: dict[str, list[str]], **options):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(script.build_study(losses, cache=tmp_path / "frames", **options)))
    return read_study(file)


def test_both_settings_share_baselines_and_teachers(tmp_path: Path):
    """9 networks alone, continued to 40 epochs as teachers, and 27 students each, with the losses asked for."""
    study = make(tmp_path, {"logits": [script.LOGITS], "new": ["dist"]})
    runs = plan_runs(study)
    assert len(runs) == 9 + 9 + 2 * 27
    shipped = read_study(script.STUDY)
    taught = next(run for run in plan_runs(shipped) if run.name == "best.c3d-from-r3d_10.seed0")
    expected = build_config(shipped, taught)
    for name, losses in (("logits", [script.LOGITS]), ("new", ["dist"])):
        cfg = build_config(study, next(run for run in runs if run.name == f"{name}.c3d-from-r3d_10.seed0"))
        assert list(cfg.TEACHER.LOSSES) == losses
        assert str(tmp_path / "frames") == cfg.DATA.CACHE
        cfg.DATA, cfg.TEACHER.LOSSES = expected.DATA, expected.TEACHER.LOSSES
        assert cfg == expected  # nothing else differs


def test_the_choice_reads_held_out_groups(tmp_path: Path):
    """Two pairs of one seed, as the shipped choice."""
    study = make(tmp_path, {"dist": ["dist"], "logits": [script.LOGITS]}, selecting=True)
    assert list(study.held_out_groups) == [22, 24]
    assert len(plan_runs(study)) == 2 + 2 + 2 * 2


def test_a_choice_of_no_losses_is_refused(capsys: pytest.CaptureFixture):
    """It would start the whole study, of hours."""
    with pytest.raises(SystemExit):
        script.build_parser().parse_args(["data", "out", "--select"])
    assert "--select: expected at least one argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ratio", "ends", "met"), [(0.48, [0.4, 0.56], True), (0.52, [0.5, 0.54], False), (0.48, [0.1, 0.86], False)]
)
def test_the_aim(ratio: float, ends: list[float], met: bool):
    """At most 0.5, and an interval that ends below that of the null."""
    values = {"ratio_mean": ratio, "ratio_ci": ends, "null_ratio_mean": 0.96, "null_ratio_ci": [0.77, 1.14]}
    line = script.describe("new", {**values, "pairs": 9, "seeds": 3})
    assert line["met"] is met
    assert line["ratio"] == [ratio, *ends]
