"""Generated videos, and the samples that are made of them."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch.utils.data import default_collate
from torchvision.transforms.v2 import functional as F

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import ucf101
from kdvideo.data.labelled import TrainClips
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.base import Pretext
from kdvideo.data.pretexts.rotnet import RotNet
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.readers.decode import count_frames
from kdvideo.data.samples import TrainTuples, TupleConfig, UniformClips, augment_batch
from kdvideo.data.synthetic import MOTIONS, SyntheticConfig, write_synthetic_ucf101
from kdvideo.data.videos import VideoList, keep_long_enough

CLIP = ClipSpec(clip_len=4, size=32)
TUPLES = TupleConfig(TupleLayout(CLIP, tuple_len=3, interval=2), VCP(), AugmentConfig(), short_side=36)


def decode_all(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def videos_of(root: Path, subset: str = "train") -> VideoList:
    records = ucf101(root, root / "ucfTrainTestlist", split=1, subset=subset)
    return VideoList(records, [count_frames(record.path) for record in records])


def test_generated_videos_are_as_ucf101s(tiny_dataset: Path):
    """UCF101's layout, MPEG-4 with B-frames, groups that are in one list only."""
    train, test = videos_of(tiny_dataset), videos_of(tiny_dataset, "test")
    assert (len(train), len(test)) == (12, 6)
    assert sorted({record.class_id for record in train.records}) == list(range(len(MOTIONS)))
    path = train.records[0].path
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "mpeg4"
        kinds = {av.video.frame.PictureType(frame.pict_type).name for frame in container.decode(stream)}
    assert kinds == {"I", "P", "B"}
    groups = [{record.name.split("_g")[1][:2] for record in videos.records} for videos in (train, test)]
    assert not groups[0] & groups[1]


def test_same_seed_same_videos(tmp_path: Path):
    """The pictures depend on the seed and nothing else."""
    config = SyntheticConfig(train_groups=1, test_groups=0, clips_per_group=1, min_frames=8, max_frames=8)
    other = SyntheticConfig(train_groups=1, test_groups=0, clips_per_group=1, min_frames=8, max_frames=8, seed=1)
    first, again, different = (
        decode_all(write_synthetic_ucf101(tmp_path / name, c) / "BallRoll" / "v_BallRoll_g01_c01.avi")
        for name, c in (("a", config), ("b", config), ("c", other))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, different)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: shutil.rmtree(root), "is not a folder"),
        (lambda root: [shutil.rmtree(p) for p in root.iterdir()], "is empty: it must hold videos"),
        (lambda root: (root / "ucfTrainTestlist" / "trainlist01.txt").unlink(), "trainlist01.txt does not exist"),
        (lambda root: (root / "ucfTrainTestlist" / "trainlist01.txt").write_text("\n"), "names no video"),
        (lambda root: (root / "ucfTrainTestlist" / "classInd.txt").write_text("1 Other\n"), "not in classInd.txt"),
    ],
)
def test_broken_datasets(tiny_dataset: Path, tmp_path: Path, damage, message: str):
    """Missing folders, lists, videos and classes are named with what to do."""
    root = tmp_path / "copy"
    shutil.copytree(tiny_dataset, root)
    damage(root)
    with pytest.raises(ValueError, match=message):
        ucf101(root, root / "ucfTrainTestlist", split=1, subset="train")


def test_short_videos_are_left_out():
    """Below tuple_len * clip_len frames there is no tuple; with none left, the longest is said."""
    videos = VideoList(["a", "b", "c"], [11, 12, 30])
    assert keep_long_enough(videos, 12).records == ["b", "c"]
    with pytest.raises(ValueError, match="all 3 videos are too short: the longest has 30 frames, a tuple takes 31"):
        keep_long_enough(videos, 31)


def test_sample_is_what_the_plan_says(tiny_dataset: Path):
    """Without augmentation a sample's outer clips are the video's resized frames, cropped."""
    still = AugmentConfig(flip_prob=0, color_prob=0, grayscale_prob=0, blur_prob=0)
    dataset = TrainTuples(
        videos_of(tiny_dataset), TupleConfig(TUPLES.layout, VCP(), still, 36), seed=0, num_negatives=0
    )
    sample = dataset[(0, 1)]
    assert sample["clips"].shape == (3, 3, 4, 32, 32)
    assert sample["clips"].dtype == torch.uint8
    resized = F.resize(torch.from_numpy(decode_all(dataset.videos.records[1].path)).permute(0, 3, 1, 2), [36])
    windows = resized.unfold(2, 32, 1).unfold(3, 32, 1)  # every crop of every frame
    for clip in (sample["clips"][0], sample["clips"][-1]):
        first = clip[:, 0]
        assert (windows == first[None, :, None, None]).flatten(4).all(dim=4).all(dim=1).any()


def test_uniform_clips_keep_short_videos(tiny_dataset: Path):
    """A video shorter than a clip is looped, so that every video is counted."""
    videos = videos_of(tiny_dataset, "test")
    long_clip = ClipSpec(clip_len=80, size=32)
    dataset = UniformClips(videos, long_clip, num_clips=2, short_side=36)
    clips = dataset[0]["clips"]
    assert clips.shape == (2, 3, 80, 32, 32)
    count = videos.num_frames[0]
    assert torch.equal(clips[0][:, count], clips[0][:, 0])


@pytest.mark.parametrize("pretext", [VCP(), RotNet(), VCOP()])
def test_augmentation_on_the_device_equals_the_workers(tiny_dataset: Path, pretext: Pretext):
    """The same draws and the same order: what the pretext does comes after the blur in both places."""
    config = TupleConfig(TUPLES.layout, pretext, AugmentConfig(), short_side=36)
    samples: dict[str, list[dict]] = {}
    for place in ("worker", "device"):
        dataset = TrainTuples(videos_of(tiny_dataset), config, seed=0, num_negatives=3, augment_on=place)
        samples[place] = [dataset[(1, index)] for index in range(len(dataset))]
    expected = default_collate(samples["worker"])
    batch = augment_batch(default_collate(samples["device"]), pretext=pretext)
    assert set(batch) == set(expected)
    for key in set(expected) - {"clips"}:
        assert torch.equal(batch[key], expected[key])
    # One sums in another order than the other; a value halfway between two integers may then go the other way.
    difference = (batch["clips"].int() - expected["clips"].int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3


def test_labelled_clips_on_the_device(tiny_dataset: Path):
    """Without a pretext, colours and blur are all there is to do."""
    clips = []
    for place in ("worker", "device"):
        dataset = TrainClips(
            videos_of(tiny_dataset), CLIP, augment=AugmentConfig(), short_side=36, seed=0, augment_on=place
        )
        batch = default_collate([dataset[(0, index)] for index in range(4)])
        clips.append(batch["clips"] if place == "worker" else augment_batch(batch, pretext=None)["clips"])
    assert (clips[0].int() - clips[1].int()).abs().max() <= 1
