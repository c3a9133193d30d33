"""`load_clips` and `load_dataset` give from Python what commands and runs read."""

import doctest
import shutil
from pathlib import Path

import pytest
import torch

import kdvideo
from kdvideo.config import load_config
from kdvideo.data import load
from kdvideo.data.samples import UniformClips
from kdvideo.engine.build import load_videos
from kdvideo.inference.videos import compute_video_outputs

SPEC = kdvideo.ClipSpec(clip_len=8, frame_stride=2, size=40)


class Recorder(torch.nn.Module):
    """Keeps what a model is fed."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))  # whoever runs a model asks for its device
        self.seen = []

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        self.seen.append(clips.clone())
        return clips.flatten(1)[:, :1]


def test_clips_are_those_of_embed_and_evaluation(tiny_dataset: Path):
    """To the bit, for several videos and numbers of clips."""
    videos = kdvideo.load_dataset("ucf101", tiny_dataset, subset="test")
    for num_clips in (1, 10):
        evaluated = UniformClips(videos, SPEC, num_clips=num_clips, short_side=SPEC.usual_short_side)
        for index, record in enumerate(videos.records[:2]):
            clips = kdvideo.load_clips(str(record.path), SPEC, num_clips=num_clips)
            assert clips.shape == (num_clips, 3, 8, 40, 40)
            assert clips.dtype == torch.uint8
            assert torch.equal(clips, evaluated[index]["clips"])
            recorder = Recorder()
            list(compute_video_outputs(recorder, [record.path], spec=SPEC, num_clips=num_clips))
            assert torch.equal(recorder.seen[0], kdvideo.prepare_clips(clips, SPEC))


def test_a_short_video_is_looped(tiny_dataset: Path):
    """A clip that is longer than the video begins again with its first frame."""
    videos = kdvideo.load_dataset("ucf101", tiny_dataset, subset="train")
    path, frames = videos.records[0].path, videos.num_frames[0]
    (clip,) = kdvideo.load_clips(path, kdvideo.ClipSpec(clip_len=frames + 1, size=40), num_clips=1)
    assert torch.equal(clip[:, frames], clip[:, 0])


def test_errors_are_one_line(tmp_path: Path):
    """A missing file, a file without a video, a folder, and no clips."""
    (tmp_path / "text.mp4").write_text("no video")
    for name, reason in {
        "missing.mp4": "does not exist",
        "text.mp4": "cannot be opened: Invalid data found when processing input",
        ".": "is not a file",
    }.items():
        with pytest.raises(ValueError, match=r"^video [^\n]*$") as caught:
            kdvideo.load_clips(tmp_path / name, SPEC)
        assert str(caught.value) == f"video {tmp_path / name} {reason}"
    with pytest.raises(ValueError, match=r"^num_clips is 0; it must be 1 or more$"):
        kdvideo.load_clips(tmp_path / "missing.mp4", SPEC, num_clips=0)


def test_a_dataset_is_what_a_run_loads(tiny_dataset: Path):
    """The same videos, frames and readers as a config's; an unknown name is answered."""
    cfg = load_config(None, ["DATA.ROOT", str(tiny_dataset)])
    for subset in ("train", "test"):
        assert kdvideo.load_dataset("ucf101", str(tiny_dataset), subset=subset) == load_videos(cfg, subset)
    with pytest.raises(ValueError, match="unknown dataset 'ucf11': did you mean ucf101"):
        kdvideo.load_dataset("ucf11", tiny_dataset, subset="train")


@pytest.mark.parametrize("function", [load.load_clips, load.load_dataset])
def test_examples_of_the_docstrings(function: object, monkeypatch, tmp_path: Path, tiny_dataset: Path):
    """As a reader would paste them, beside a video and a dataset."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(next(tiny_dataset.rglob("*.avi")), "video.mp4")  # readers look into a file, not at its name
    Path("output/demo").mkdir(parents=True)
    Path("output/demo/data").symlink_to(tiny_dataset)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, function.__name__, globs={})
    assert example.examples
    result = doctest.DocTestRunner().run(example)
    assert result.failed == 0
