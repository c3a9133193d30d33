"""Every shipped config loads and takes one optimizer step; full-size ones here without memory, slow tests for real."""

import math

import pytest
from recipes import CONFIGS, first_line_command, is_full_size, lines_of, load, recipes, take_step


def test_the_recipes_are_there():
    """Three baselines, nine pairs, finetuning and retrieval on both datasets."""
    full_size = [recipe for recipe in recipes() if is_full_size(recipe)]
    kinds = ("pretrain", "distill", "finetune", "eval")
    counts = {kind: sum(recipe.startswith(kind) for recipe in full_size) for kind in kinds}
    assert counts == {"pretrain": 3, "distill": 9, "finetune": 6, "eval": 2}


@pytest.mark.parametrize("recipe", recipes())
def test_a_config_takes_a_step(recipe: str):
    """Small ones on the CPU; full-size ones on the meta device, which checks every shape and computes nothing."""
    cfg = load(recipe)
    if is_full_size(recipe):
        assert (cfg.CLIP.LENGTH, cfg.CLIP.SIZE, cfg.MODEL.WIDTH) == (16, 112, 64)
        take_step(cfg, "meta", batch_size=cfg.SOLVER.BATCH_SIZE)
    else:
        loss, student = take_step(cfg, "cpu", batch_size=2)
        assert math.isfinite(loss)
        assert all(parameter.isfinite().all() for parameter in student.parameters())


@pytest.mark.parametrize("recipe", recipes())
def test_a_config_is_short_and_opens_with_its_command(recipe: str):
    """Under 30 lines; the first one names the file itself."""
    assert lines_of(CONFIGS / recipe) < 30
    if not recipe.startswith("demo/"):
        assert f"--config-file {recipe.removesuffix('.yaml')} " in first_line_command(recipe)


@pytest.mark.parametrize("recipe", [recipe for recipe in recipes() if is_full_size(recipe)])
def test_a_published_figure_is_no_result_of_ours(recipe: str):
    """What stands beside a full-size config is a target."""
    assert "Target, not run here: " in (CONFIGS / recipe).read_text()
