"""Embeds videos with a pretrained model and finds the nearest neighbour of each test video.

    kdvideo demo                                  # writes small videos; UCF101 in its own layout will do as well
    python examples/embed.py output/demo/data

Prints how often the nearest training video has the class of the test video (retrieval@1) beside chance.
"""

import argparse

import torch
from torch import Tensor
from torch.nn import functional as F

import kdvideo
from kdvideo.data.videos import VideoList


@torch.no_grad()
def embed(model: torch.nn.Module, videos: VideoList, num_clips: int) -> Tensor:
    """Computes one unit vector per video `[V, D]`: the mean feature of its clips."""
    features = []
    for record in videos.records:
        clips = kdvideo.load_clips(record.path, model.clip_spec, num_clips=num_clips)  # uint8 [S, C, T, H, W]
        features.append(model(kdvideo.prepare_clips(clips, model.clip_spec)).mean(dim=0))
    return F.normalize(torch.stack(features), dim=1)


def main() -> None:
    """Embeds both lists and compares them."""
    parser = argparse.ArgumentParser(description="nearest neighbours by the features of a pretrained model")
    parser.add_argument("root", help="a dataset in UCF101's layout")
    parser.add_argument("--model", default="r3d_10_w16.pcl-vcp_ucf101mini-s1", help="a zoo name: `kdvideo zoo list`")
    parser.add_argument("--clips", type=int, default=10, help="clips per video (default %(default)s)")
    options = parser.parse_args()

    model = kdvideo.create_model(options.model, num_classes=0, pretrained=True).eval()
    train, test = (kdvideo.load_dataset("ucf101", options.root, subset=subset) for subset in ("train", "test"))
    similarity = embed(model, test, options.clips) @ embed(model, train, options.clips).T  # [test, train]

    classes = torch.tensor([record.class_id for record in train.records])
    wanted = torch.tensor([record.class_id for record in test.records])
    nearest = similarity.argmax(dim=1)
    for record, place in zip(test.records[:5], nearest, strict=False):
        print(f"{record.name} is nearest to {train.records[place].name}")
    hits = (classes[nearest] == wanted).float().mean()
    chance = (classes[None] == wanted[:, None]).float().mean()
    print(f"retrieval@1 {hits:.3f} chance {chance:.3f}")


if __name__ == "__main__":
    main()
