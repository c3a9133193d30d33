"""benchmarks/finetune_choice.py: both rules from one run's lines, and a tiny experiment, which is not run twice."""

from pathlib import Path

import finetune_choice as script
import pytest
import simplejson

from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101


def line(epoch: int, accuracy: float, cross_entropy: float) -> dict:
    return {"epoch": epoch, "validation_accuracy": accuracy, "validation_cross_entropy": cross_entropy}


def test_both_rules_choose_from_the_same_lines():
    """The lowest and latest against the highest and earliest."""
    lines = [line(1, 0.5, 2.0), line(2, 0.5, 1.0), line(3, 0.4, 1.0), line(4, 0.3, 1.5)]
    assert script.choose(lines) == {script.NEW: 3, script.OLD: 1, script.LAST: 4}


def test_differences_are_paired():
    """By hand: gains of 0.1 and 0.3, whose interval by Student's t is 0.2 -+ 12.706 * 0.1."""
    results = [
        {"data": "a", "share": 0.25, "accuracy": {script.NEW: old + gain, script.OLD: old, script.LAST: old}}
        for old, gain in ((0.2, 0.1), (0.5, 0.3))
    ]
    first, both = script.compare(results)
    assert (first["data"], both["data"], first["runs"]) == ("a", "all", 2)
    assert first[f"{script.NEW} minus {script.OLD}"] == pytest.approx([0.2, 0.2 - 1.2706, 0.2 + 1.2706], abs=1e-3)
    assert first[f"{script.LAST} minus {script.OLD}"] == [0, 0, 0]


@pytest.mark.slow
def test_a_tiny_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs, judges and tests; a second start trains nothing."""
    videos = SyntheticConfig(train_groups=4, test_groups=1, clips_per_group=1, min_frames=64, max_frames=66)
    data = write_synthetic_ucf101(tmp_path / "videos", videos)
    small = ["MODEL.WIDTH", "4", "CLIP.SIZE", "32", "DATA.SHORT_SIDE", "36", "SOLVER.EPOCHS", "2"]
    small += ["SOLVER.BATCH_SIZE", "2"]
    words = [str(data), "--out", str(tmp_path / "out"), "--seeds", "0", "1", "--shares", "1", "--weights", ""]
    monkeypatch.setattr("sys.argv", ["finetune_choice.py", *words, "--set", *small])
    script.main()
    first = capsys.readouterr().out
    runs = [simplejson.loads(text) for text in first.splitlines()]
    assert [one.get("seed") for one in runs] == [0, 1, None, None]
    metrics = tmp_path / "out" / "videos-100-s0" / "metrics.jsonl"
    written = metrics.stat().st_mtime_ns
    script.main()
    assert (capsys.readouterr().out, metrics.stat().st_mtime_ns) == (first, written)
    monkeypatch.setattr("sys.argv", [*["finetune_choice.py", *words, "--test"], "--set", *small])
    script.main()
    tested = simplejson.loads(capsys.readouterr().out.splitlines()[0])
    assert tested["list"] == "test"
    assert set(tested["accuracy"]) == {script.NEW, script.OLD}
