"""A stream of frames is answered as the same clips of a file are."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import plan_uniform_clips
from kdvideo.data.readers.decode import count_frames, read_frames
from kdvideo.inference.predict import Predictor
from kdvideo.inference.stream import stream_clips
from kdvideo.inference.videos import list_videos

SPEC = ClipSpec(clip_len=3, frame_stride=2, size=32, modality="rgb")


def test_probabilities_equal_those_of_predict(classifier: str, tiny_dataset: Path):
    """The answer at a clip's last frame is that for a file's only clip, which lies in the video's middle."""
    video = list_videos(tiny_dataset)[0]
    predictor = Predictor(classifier)
    (expected,) = predictor(video, num_clips=1)
    (clip,) = plan_uniform_clips(predictor.model.backbone.clip_spec, 1, num_frames=count_frames(video))
    frames = read_frames(video, range(count_frames(video))).permute(0, 2, 3, 1).numpy()  # as from a camera
    answers = {answer.frame: answer.best for answer in predictor.stream(iter(frames), every=1)}
    assert answers[clip[-1]] == expected.best
    assert len(answers) == len(frames) - 7
    assert len({answer[0].probability for answer in answers.values()}) > 1
    channels_first = torch.from_numpy(frames).permute(0, 3, 1, 2)
    assert {one.frame: one.best for one in predictor.stream(channels_first, every=1)} == answers


def test_neighbours_of_a_stream():
    """A model with a gallery answers with its neighbours."""
    frames = np.random.default_rng(0).integers(0, 255, (8, 60, 80, 3), dtype=np.uint8)
    (answer,) = Predictor("r3d_10_w16.pcl-vcp_ucf101mini-s1").stream(frames, top=2)
    assert answer.frame == 7
    assert [one.class_name != "" for one in answer.best] == [True, True]


def test_which_frames_a_clip_has():
    """Every stride-th of its span, a new clip every few frames; frames are asked for one at a time."""
    asked = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(10):
            asked.append(number)
            yield np.full((32, 40, 3), number, dtype=np.uint8)

    found = [(last, clip[0, :, 0, 0].tolist()) for last, clip in stream_clips(frames(), replace(SPEC, short_side=32))]
    assert found == [(4, [0, 2, 4]), (8, [4, 6, 8])]
    first = next(stream_clips(frames(), SPEC, every=1))
    assert asked == [*range(10), *range(5)]
    assert first[1].shape == (3, 3, 32, 32)
    uniform = replace(SPEC, sampling="uniform", short_side=32)
    assert [(last, clip[0, :, 0, 0].tolist()) for last, clip in stream_clips(frames(), uniform)] == [
        (5, [1, 3, 5]),
        (9, [5, 7, 9]),
    ]


@pytest.mark.parametrize(
    "frame", [np.zeros((32, 40, 3)), np.zeros((32, 40), np.uint8), np.zeros((9, 32, 40), np.uint8)]
)
def test_what_is_no_frame(frame: np.ndarray):
    with pytest.raises(ValueError, match=r"frame 0 has shape .*; it must be uint8 \[H, W, 3\]"):
        next(stream_clips([frame], SPEC))
    with pytest.raises(ValueError, match="`every` is 0; it must be 1 or more"):
        next(stream_clips([frame], SPEC, every=0))


def test_a_model_in_memory_streams():
    """As a network that has just been trained."""
    torch.manual_seed(0)
    model = kdvideo.create_model("c3d", num_classes=3, width=4, clip_spec=replace(SPEC, clip_len=8, frame_stride=1))
    frames = torch.zeros(9, 3, 40, 40, dtype=torch.uint8)
    assert [one.frame for one in Predictor(model).stream(frames, every=1)] == [7, 8]


def test_a_camera_reuses_its_buffer():
    """Frames are copied as they come, also where no resize does so; BGR turned round has negative strides."""
    buffer = np.zeros((32, 32, 3), dtype=np.uint8)

    def camera() -> Iterator[np.ndarray]:
        for number in range(5):
            buffer[:] = (number, 0, 100)
            yield buffer[..., ::-1]

    ((number, clip),) = stream_clips(camera(), replace(SPEC, short_side=32), every=1)
    assert number == 4
    assert clip[:, :, 0, 0].tolist() == [[100, 100, 100], [0, 0, 0], [0, 2, 4]]


@pytest.mark.parametrize("wrong", [{"top": 0}, {"every": 0}])
def test_numbers_of_a_stream(wrong: dict[str, int]):
    """Refused before the first frame."""
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}` is 0; it must be 1 or more"):
        Predictor("r3d_10_w16.pcl-vcp_ucf101mini-s1").stream([], **wrong)
