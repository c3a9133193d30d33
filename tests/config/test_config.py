"""Configs: bases, overrides, and each mistake's one line."""

import re
from pathlib import Path

import pytest
import torch

from kdvideo.config import dump_config, get_defaults, load_config, validate_config
from kdvideo.paths import zoo_root

CONFIGS = sorted(path for path in (zoo_root() / "configs").rglob("*.yaml") if path.parent.name not in ("base", "study"))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_base_file_then_overrides_win(tmp_path: Path):
    """The file's values replace its base's, the command line's replace both, all else is the default."""
    write(tmp_path / "base.yaml", "SOLVER: {EPOCHS: 7, BASE_LR: 1}\nSEED: 3\n")
    top = write(tmp_path / "top.yaml", "_BASE_: base.yaml\nSOLVER: {EPOCHS: 8}\n")
    cfg = load_config(top, ["SEED", "5", "CLIP.MEAN", "[0, 0.5, 1]"])
    assert (cfg.SOLVER.EPOCHS, cfg.SOLVER.BASE_LR, cfg.SEED) == (8, 1.0, 5)
    assert cfg.CLIP.MEAN == [0.0, 0.5, 1.0]
    assert cfg.SOLVER.MOMENTUM == get_defaults().SOLVER.MOMENTUM


def test_another_start_than_the_defaults(tmp_path: Path):
    """A file and overrides win against it; it stays as it is."""
    start = load_config(None, ["SEED", "3", "SOLVER.EPOCHS", "4", "DATA.SPLIT", "2"])
    before = start.clone()
    cfg = load_config(write(tmp_path / "a.yaml", "SEED: 5\n"), ["SOLVER.EPOCHS", "6"], start=start)
    assert (cfg.SEED, cfg.SOLVER.EPOCHS, cfg.DATA.SPLIT) == (5, 6, 2)
    assert start == before


def test_dump_is_read_back(tmp_path: Path):
    """The resolved config of a run starts the same run."""
    cfg = load_config(None, ["SOLVER.BASE_LR", "1e-3", "DATA.ROOT", "/videos", "ZOO.PUBLISH_AS", "2024"])
    dump_config(cfg, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == cfg


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["SOLVER.EPOCH", "3"], "unknown config key 'SOLVER.EPOCH' from the command line: did you mean SOLVER.EPOCHS"),
        (["SOLVER.EPOCHS", "many"], "SOLVER.EPOCHS is 'many' of type str; it must be of type int"),
        (["SOLVER.EPOCHS", "1.5"], "SOLVER.EPOCHS is 1.5 of type float; it must be of type int"),
        (["ZOO.REPLACE", "1"], "ZOO.REPLACE is 1 of type int; it must be of type bool"),
        (["SOLVER.EPOCHS"], "overrides come in KEY VALUE pairs, but 'SOLVER.EPOCHS' has no value"),
    ],
)
def test_bad_override(overrides: list[str], message: str):
    """Key, value and what is allowed, before anything is loaded."""
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        load_config(None, overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_BASE_: missing.yaml\n", "does not exist"),
        ("_BASE_: top.yaml\n", "is its own _BASE_"),
        ("- 1\n", "must hold a mapping of keys, not a list"),
        ("a: [\n", "is no valid yaml"),
        ("SOLVR: {EPOCHS: 3}\n", "unknown config key 'SOLVR.EPOCHS' from"),
    ],
)
def test_bad_file(tmp_path: Path, text: str, message: str):
    """A file's mistake is one line that names the file."""
    path = write(tmp_path / "top.yaml", text)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        load_config(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.BACKBONE", "r3d_11"], "MODEL.BACKBONE: unknown backbone 'r3d_11': did you mean r3d_1"),
        (["CONTRAST.NAME", "logit_distillation"], "it must be a contrastive loss: bank_nce, batch_nce"),
        (["CLIP.MODALITY", "flow"], "CLIP.MODALITY is 'flow'; it must be one of rgb, residual"),
        (["SOLVER.BATCH_SIZE", "1"], "SOLVER.BATCH_SIZE is 1; it must be at least 2"),
        (["SOLVER.AMP", "fp8"], "SOLVER.AMP is 'fp8'; it must be one of fp32, bf16, fp16, tf32"),
        (["SOLVER.ACCUMULATE", "3"], "SOLVER.ACCUMULATE is 3; it must part a process' share of SOLVER.BATCH_SIZE, 16,"),
        (
            ["SOLVER.ACCUMULATE", "16"],
            "SOLVER.ACCUMULATE is 16; it must part a process' share of SOLVER.BATCH_SIZE, 16",
        ),
        (["SOLVER.BASE_LR", "0"], "SOLVER.BASE_LR is 0.0; it must be above 0"),
        (["AUGMENT.FLIP_PROB", "1.5"], "AUGMENT.FLIP_PROB is 1.5; it must be between 0 and 1"),
        (["CLIP.MEAN", "[0.5]"], "CLIP.MEAN is [0.5]; it must be a list of three numbers"),
        (["CLIP.LENGTH", "6"], "CLIP.LENGTH is 6; the pretext vcp swaps quarters of it: use a multiple of 4"),
        (["CLIP.SIZE", "200"], "DATA.SHORT_SIDE is 128; it must be at least CLIP.SIZE, 200"),
        (["DATA.ROOT", ""], "DATA.ROOT is not set"),
        (["TASK.NAME", "distill"], "TASK.NAME distill needs TEACHER.WEIGHTS"),
        (["TEACHER.WEIGHTS", "x"], "TEACHER.WEIGHTS is set, but TASK.NAME pcl has no teacher"),
    ],
)
def test_impossible_values(overrides: list[str], message: str):
    """A value that cannot work is refused with what can."""
    cfg = load_config(None, ["DATA.ROOT", "/videos", *overrides])
    with pytest.raises(ValueError, match=re.escape(message)):
        validate_config(cfg)


def test_what_learns_classes_has_no_pretext():
    """So clips of any length will do."""
    validate_config(load_config(None, ["DATA.ROOT", "/videos", "TASK.NAME", "supervised", "CLIP.LENGTH", "6"]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA they work")
@pytest.mark.parametrize("amp", ["fp16", "tf32"])
def test_some_precisions_need_cuda(amp: str):
    """Gradients in fp16 underflow without a scaler, and CPUs have no kernels for either."""
    with pytest.raises(ValueError, match=rf"SOLVER\.AMP is '{amp}', which needs a CUDA device, .* use bf16 or fp32"):
        validate_config(load_config(None, ["DATA.ROOT", "/videos", "SOLVER.AMP", amp]))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs(path: Path):
    """Each is valid, under 30 lines, and opens with its command."""
    lines = path.read_text().splitlines()
    assert len(lines) < 30
    assert lines[0].startswith("# ")
    assert path.parent.name == "demo" or f"--config-file {path.parent.name}/{path.stem} " in lines[0]
    teacher = ["TEACHER.WEIGHTS", "name"] if "distill" in str(path) else []
    validate_config(load_config(path, ["DATA.ROOT", "/videos", *teacher]))
