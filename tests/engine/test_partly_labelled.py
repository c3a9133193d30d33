"""Runs on labelled and unlabelled videos: what is logged of the labelled ones, and test videos among the others."""

import logging
import shutil
from pathlib import Path

import pytest
import torch

from kdvideo.data.datasets import VideoRecord
from kdvideo.engine.classes import warn_of_test_videos
from kdvideo.engine.scalars import StepScalars, epoch_means
from kdvideo.engine.step import GRAD_NORM
from kdvideo.tasks.supervised import label_losses


def numbers_of(labels: list[int]) -> StepScalars:
    """Returns the numbers of a step on clips with these labels, for all of which the network says class 0."""
    scalars = label_losses(torch.tensor([[[1.0, 0.0]]]).expand(len(labels), -1, -1), {"class_id": torch.tensor(labels)})
    return StepScalars({**scalars, GRAD_NORM: torch.ones(())}, place="")


def test_accuracy_is_that_of_all_labelled_clips():
    """2 of 3 labelled clips are right. The mean over steps was 0.375: a step without labels counted as 0."""
    steps = [numbers_of([0, 1, -1, -1]), numbers_of([0, -1, -1, -1]), *[numbers_of([-1] * 4)] * 2]
    assert [step.get("train_accuracy") for step in steps] == [0.5, 1.0, None, None]
    sums = {name: sum(step.terms[name] for step in steps) for name in steps[0].terms}
    means = epoch_means(sums, len(steps))
    assert means["train_accuracy"] == pytest.approx(2 / 3)
    assert set(means) == {"loss", "label_loss", "train_accuracy", GRAD_NORM}


@pytest.mark.parametrize("same", ["link", "copy", "name", "nothing"])
def test_test_videos_among_the_unlabelled(same: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The same file under any name, and a copy under its own; not another video of that name."""
    test, folder = tmp_path / "a.avi", tmp_path / "videos"
    folder.mkdir()
    test.write_bytes(b"frames")
    (folder / "b.avi").write_bytes(b"frames")
    if same == "link":
        (folder / "c.avi").symlink_to(test)
    elif same == "copy":
        shutil.copy(test, folder)
    elif same == "name":
        (folder / "a.avi").write_bytes(b"other frames")
    unlabelled = [VideoRecord(path, path.name, None, None) for path in sorted(folder.iterdir())]
    with caplog.at_level(logging.WARNING, logger="kdvideo"):
        warn_of_test_videos(unlabelled, [VideoRecord(test, "walk/a", 0, "walk")])
    found = "1 of 1 test videos lie below DATA.UNLABELLED_ROOT, too, e.g. walk/a"
    assert (found in caplog.text) == (same in ("link", "copy"))
