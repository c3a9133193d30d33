"""Whole runs on generated videos: teacher, student, the student's student, resuming, and what goes wrong."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import simplejson
import torch
from filelock import FileLock

import kdvideo
from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.data.samples import VideoList
from kdvideo.engine.build import load_videos
from kdvideo.engine.checkpoint import read_state
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.launch import train
from kdvideo.engine.run_folder import METRICS_NAME
from kdvideo.engine.trainer import Hook
from kdvideo.zoo.sources import find_entry


def run(overrides: list[str], *extra: str, **kwargs):
    return train(load_config(None, [*overrides, *extra]), **kwargs)


def metrics_lines(folder: Path) -> list[dict]:
    lines = [simplejson.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_teacher_student_and_its_student(tiny_overrides: list[str], tmp_path: Path):
    """A published student of another architecture teaches a third; each entry names its teacher and its hash."""
    chain = [("r3d_10", "first.a"), ("c3d", "second.b"), ("r2plus1d_10", "third.c")]
    teacher: list[str] = []
    entries = []
    for backbone, name in chain:
        folder = ["OUTPUT_DIR", str(tmp_path / name), "MODEL.BACKBONE", backbone, "ZOO.PUBLISH_AS", name]
        result = run(tiny_overrides, *folder, *teacher)
        entries.append(result.entry)
        teacher = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", f"kdvideo://{name}"]
    assert entries[0].teacher is None
    assert entries[1].teacher == {"name": "first.a", "sha256": entries[0].sha256}
    assert entries[2].teacher == {"name": "second.b", "sha256": entries[1].sha256}
    lines = metrics_lines(tmp_path / "second.b")
    assert [line["epoch"] for line in lines] == [1, 2, 2]
    assert {"kd_loss", "teacher_agreement", "pretext_accuracy", "retrieval_at_1", "retrieval_at_5"} <= set(lines[0])
    assert {"pretext_accuracy", "majority_share", "retrieval_at_1", "retrieval_3clip_at_50"} <= set(lines[-1])
    assert entries[1].metrics["pretext_accuracy"] == lines[-1]["pretext_accuracy"]
    catalogue = (tmp_path / "zoo" / "MODEL_ZOO.md").read_text()
    assert f"`first.a` {entries[0].sha256[:8]}" in catalogue
    # the zoo has the weights that the run ended with, and no teacher in them
    entry, _ = find_entry("third.c", zoo=tmp_path / "zoo")
    report = kdvideo.load_pretrained(entry.model.build(), str(tmp_path / "zoo" / "weights" / entry.file))
    assert (report.new, report.dropped) == ((), {})
    assert torch.equal(
        read_state(tmp_path / "third.c" / "checkpoint.pt")["student"]["pretext_head.fc.weight"],
        result.model.state_dict()["pretext_head.fc.weight"],
    )


def test_bf16_run_with_a_teacher_in_parts(tiny_overrides: list[str], tmp_path: Path):
    """Weights stay fp32, the log says what was checked, and what it measures is what its checkpoint gives in fp32."""
    faster = ["SOLVER.AMP", "bf16", "SOLVER.ACCUMULATE", "2"]
    teacher = run(tiny_overrides, *faster, "OUTPUT_DIR", str(tmp_path / "teacher"), "ZOO.PUBLISH_AS", "t.a")
    assert {value.dtype for key, value in teacher.model.state_dict().items() if "tracked" not in key} == {torch.float32}
    run(tiny_overrides, *faster, "TASK.NAME", "distill", "TEACHER.WEIGHTS", "t.a")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "teacher: 12 BatchNorms folded into convolutions, bf16" in log
    assert "convolutions compared with fp32" in log
    measured = evaluate(load_config(None, tiny_overrides)).metrics
    assert measured["pretext_accuracy"] == metrics_lines(tmp_path / "run")[-1]["pretext_accuracy"]


def test_evaluation_in_bf16_leaves_training_and_the_final_metrics(tiny_overrides: list[str], tmp_path: Path):
    """EVAL.AMP is for the epochs' lines: same weights, same last line, and what it says there is near fp32's."""
    runs = {}
    for amp in ("fp32", "bf16"):
        run(tiny_overrides, "EVAL.AMP", amp, "OUTPUT_DIR", str(tmp_path / amp))
        runs[amp] = metrics_lines(tmp_path / amp)
        runs[amp].append(read_state(tmp_path / amp / "checkpoint.pt")["student"])
    *exact, final, weights = runs["fp32"]
    *rounded, other_final, other_weights = runs["bf16"]
    assert final == other_final
    assert all(torch.equal(value, other_weights[key]) for key, value in weights.items())
    for line, other in zip(exact, rounded, strict=True):
        assert line["loss"] == other["loss"]
        # 30 tuples: rounding may turn a close decision or two
        assert other["pretext_accuracy"] == pytest.approx(line["pretext_accuracy"], abs=2.1 / 30)


@pytest.mark.parametrize("contrast", ["bank_nce", "batch_nce"])
def test_resuming_writes_the_same_lines(tiny_overrides: list[str], tmp_path: Path, contrast: str):
    """Stopped at an epoch's end and continued: the same metrics but for times, the same weights, banks included."""

    class Stop(Hook):
        def after_epoch(self, trainer, metrics):
            if trainer.epoch == 2:
                raise KeyboardInterrupt

    common = [*tiny_overrides, "SOLVER.EPOCHS", "4", "CONTRAST.NAME", contrast, "SOLVER.SCHEDULE", "one_cycle"]
    whole = run(common, "OUTPUT_DIR", str(tmp_path / "whole"))
    parts = ["OUTPUT_DIR", str(tmp_path / "parts")]
    with pytest.raises(KeyboardInterrupt):
        run(common, *parts, extra_hooks=(Stop(),))
    assert len(metrics_lines(tmp_path / "parts")) == 2
    continued = run(common, *parts, resume=True)
    assert metrics_lines(tmp_path / "parts") == metrics_lines(tmp_path / "whole")
    for (key, a), b in zip(whole.model.state_dict().items(), continued.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_eval_only_repeats_the_final_metrics(tiny_overrides: list[str]):
    """`--eval-only` on a finished run's folder measures the same numbers."""
    result = run(tiny_overrides, "CLIP.MODALITY", "rgb", "ZOO.PUBLISH_AS", "rgb.x")
    config = (result.output_dir / "config.yaml").read_text()
    # the entry says that it is RGB and 4 wide; the command line's defaults do not matter
    for where in ([], ["MODEL.WEIGHTS", "rgb.x", "MODEL.WIDTH", "8"]):
        assert main(["train", "--eval-only", *tiny_overrides, *where]) == 0
        measured = simplejson.loads((result.output_dir / "evaluation.json").read_text())["metrics"]
        assert {**measured, "epoch": 2, "final": True}.items() >= result.metrics.items()
    assert (result.output_dir / "config.yaml").read_text() == config


def test_output_folder_documents_the_run(tiny_overrides: list[str], tmp_path: Path):
    """Resolved config, environment with seed, log, TensorBoard."""
    run(tiny_overrides, "SOLVER.EPOCHS", "1", "SEED", "7")
    folder = tmp_path / "run"
    assert load_config(folder / "config.yaml").SEED == 7
    environment = simplejson.loads((folder / "environment.json").read_text())
    assert environment["seed"] == 7
    assert environment["torch"] == torch.__version__
    assert "12 training videos; 0 left out" in (folder / "log.txt").read_text()
    assert list((folder / "tensorboard").iterdir())


def test_resuming_another_run_is_refused(tiny_overrides: list[str], tmp_path: Path, capsys):
    """Key, new and old value; the run's own config file stays. More epochs at a constant rate are the same run."""
    run(tiny_overrides, "SOLVER.EPOCHS", "1")
    config = (tmp_path / "run" / "config.yaml").read_text()
    for key, value, shown in (("SEED", "3", "3"), ("MODEL.WIDTH", "8", "8"), ("SOLVER.BASE_LR", "0.5", "0.5")):
        message = error_of(capsys, "--resume", *tiny_overrides, "SOLVER.EPOCHS", "1", key, value)
        assert re.fullmatch(rf"--resume: {key} is {shown}, the run was started with [\d.]+: keep it", message)
    assert (tmp_path / "run" / "config.yaml").read_text() == config
    assert run(tiny_overrides, "SOLVER.EPOCHS", "2", resume=True).metrics["epoch"] == 2


def test_a_finished_run_may_be_resumed_and_published_again(tiny_overrides: list[str], tmp_path: Path):
    """A requeued job ends as it ended before."""
    published = [*tiny_overrides, "ZOO.PUBLISH_AS", "again.x"]
    first = run(published)
    lines = metrics_lines(tmp_path / "run")
    second = run(published, resume=True)
    assert second.entry.sha256 == first.entry.sha256
    assert metrics_lines(tmp_path / "run") == lines


def test_a_run_that_died_before_its_first_checkpoint_starts_again(tiny_overrides: list[str], tmp_path: Path):
    """Its metrics line is dropped; neither a plain start nor --resume is a dead end."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / METRICS_NAME).write_text('{"epoch": 1}\n')
    run(tiny_overrides)
    assert [line["epoch"] for line in metrics_lines(tmp_path / "run")] == [1, 2, 2]


def test_a_folder_in_use_is_refused(tiny_overrides: list[str], tmp_path: Path, capsys):
    """Two processes must not write one run."""
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"):
        message = error_of(capsys, *tiny_overrides)
    assert message == f"OUTPUT_DIR {tmp_path / 'run'} is in use by another process: wait for it or stop it"


def test_a_workers_error_is_one_line(
    tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, capsys, monkeypatch
):
    """A video that ends before its counted frames, found in a worker process."""

    def too_long(*arguments, **options) -> VideoList:
        videos = load_videos(*arguments, **options)
        return replace(videos, num_frames=[500] * len(videos))

    monkeypatch.setattr("kdvideo.engine.build.load_videos", too_long)
    message = error_of(capsys, *tiny_overrides, "DATA.NUM_WORKERS", "1", code=1)
    assert re.match(r"video .*\.avi ends before frame \d+; it gives \d+ of \d+ asked for", message)


def error_of(capsys: pytest.CaptureFixture, *arguments: str, code: int = 2) -> str:
    """The one line that `kdvideo train` ends with."""
    assert main(["train", *arguments]) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("kdvideo: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    return lines[0].removeprefix("kdvideo: error: ")


def test_bad_input_is_one_line(tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, capsys):
    """Each mistake of a user, word for word."""
    empty = tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "file"
    file.write_text("")
    cases = [
        (["MODEL.BACKBONE", "r3d_01"], "MODEL.BACKBONE: unknown backbone 'r3d_01': did you mean r3d_10 or r3d_18"),
        (["SOLVER.EPOCS", "3"], "unknown config key 'SOLVER.EPOCS' from the command line: did you mean SOLVER.EPOCHS"),
        (
            ["DATA.ROOT", str(empty)],
            f"DATA.ROOT {empty} is empty: it must hold videos, most often in a folder a class",
        ),
        (
            ["OUTPUT_DIR", str(file / "below")],
            f"OUTPUT_DIR {file / 'below'} cannot be written: Not a directory",
        ),
        (
            ["CLIP.FRAME_STRIDE", "9"],
            "all 12 videos are too short: the longest has 66 frames, a tuple takes 192; "
            "lower CLIP.LENGTH, CLIP.FRAME_STRIDE or PRETEXT.TUPLE_LEN",
        ),
        (
            ["ZOO.PUBLISH_AS", "x.y", "ZOO.DIR", str(file / "zoo")],
            f"ZOO.DIR {file / 'zoo'} cannot be written: Not a directory",
        ),
        (["ZOO.PUBLISH_AS", "../x"], "'../x' is no zoo name: use letters, digits"),
        (["--resume"], f"--resume: {tmp_path / 'run7' / 'checkpoint.pt'} does not exist; start the run without"),
        (
            ["SOLVER.BATCH_SIZE", "13"],
            "SOLVER.BATCH_SIZE is 13, but 12 training videos can be used: lower it",
        ),
        (
            ["CLIP.LENGTH", "4", "MODEL.BACKBONE", "c3d"],
            "MODEL.BACKBONE c3d cannot take clips of 4 frames of 32 x 32 (",
        ),
        (
            ["TASK.NAME", "distill", "TEACHER.WEIGHTS", "kdvideo://no.such"],
            "unknown zoo entry 'no.such': `kdvideo zoo list` names all",
        ),
    ]
    for i, (overrides, expected) in enumerate(cases):
        flags = [option for option in overrides if option.startswith("--")]
        pairs = [option for option in overrides if option not in flags]
        message = error_of(capsys, *flags, *tiny_overrides, "OUTPUT_DIR", str(tmp_path / f"run{i}"), *pairs)
        assert message.startswith(expected), message


def test_a_missing_video_is_named(tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, capsys):
    """Video and reason: a list that is not of these videos is refused, since all of it is missing."""
    lists = tmp_path / "lists"
    lists.mkdir()
    for path in (tiny_dataset / "ucfTrainTestlist").iterdir():
        (lists / path.name).write_text(path.read_text())
    (lists / "trainlist01.txt").write_text("BallRoll/v_BallRoll_g99_c01.avi 4\n")
    assert error_of(capsys, *tiny_overrides, "DATA.LIST_DIR", str(lists)) == (
        "1 of 1 training videos cannot be used, 100.0%, and DATA.MAX_BAD_FRACTION allows 1.0%; "
        "the first is BallRoll/v_BallRoll_g99_c01.avi: does not exist"
    )


def test_taken_names_and_folders_and_other_teachers(tiny_overrides: list[str], tmp_path: Path, capsys):
    """A second run loses nothing of the first; a teacher of another head is refused before training."""
    published = [*tiny_overrides, "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "taken.x"]
    run(published)
    again = error_of(capsys, *published, "OUTPUT_DIR", str(tmp_path / "other"))
    assert again == (f"taken.x is taken in {tmp_path / 'zoo'}: choose another name or use ZOO.REPLACE")
    assert error_of(capsys, *tiny_overrides) == (
        f"OUTPUT_DIR {tmp_path / 'run'} already holds a run (checkpoint.pt): "
        "continue it with --resume or choose another folder"
    )
    teacher = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", "taken.x", "OUTPUT_DIR", str(tmp_path / "third")]
    assert error_of(capsys, *tiny_overrides, *teacher, "PRETEXT.TUPLE_LEN", "5") == (
        "TEACHER.WEIGHTS taken.x takes tuples of 3 clips, but PRETEXT.TUPLE_LEN is 5: set it to 3 or choose another "
        "teacher"
    )


def test_a_damaged_teacher_is_refused(tiny_overrides: list[str], tmp_path: Path, capsys):
    """Nothing is trained from a file that is not the published one."""
    result = run(tiny_overrides, "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "teacher.x")
    path = tmp_path / "zoo" / "weights" / result.entry.file
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)
    teacher = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", "teacher.x", "OUTPUT_DIR", str(tmp_path / "student")]
    assert re.match(
        rf"weights teacher\.x: {re.escape(str(path))} has sha256 .*nothing was loaded",
        error_of(capsys, *tiny_overrides, *teacher),
    )
    assert not (tmp_path / "student").exists()
