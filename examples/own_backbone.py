"""Trains a backbone of your own to imitate the features of a pretrained teacher, without labels.

    kdvideo demo                                  # writes small videos; UCF101 in its own layout will do as well
    python examples/own_backbone.py output/demo/data

Any network can be the student: the loss compares features only. Once registered, the backbone is also known to
`kdvideo.create_pcl_model` and, by `--import examples/own_backbone.py`, to `kdvideo train`.
"""

import argparse

import torch
from torch import nn

import kdvideo
from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.labelled import TrainClips
from kdvideo.data.loader import EpochSampler, create_loader
from kdvideo.losses import EmbeddingDistillation
from kdvideo.models import NetBackbone
from kdvideo.registry import BACKBONES


@BACKBONES.register()
def three_layers(*, width: int = 8, clip_spec: kdvideo.ClipSpec | None = None) -> NetBackbone:
    """Builds three strided convolutions; `NetBackbone` averages their map to a feature `[B, 4 * width]`."""
    blocks: list[nn.Module] = []
    for before, after in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        blocks += [nn.Conv3d(before, after, 3, stride=2, padding=1), nn.BatchNorm3d(after), nn.ReLU()]
    return NetBackbone(blocks=blocks, num_features=4 * width, clip_spec=clip_spec or kdvideo.ClipSpec())


def main() -> None:
    """Trains and prints the mean loss of each epoch: 1 - cosine between the features."""
    parser = argparse.ArgumentParser(description="feature distillation into a backbone of your own")
    parser.add_argument("root", help="a dataset in UCF101's layout")
    parser.add_argument("--teacher", default="r3d_10_w16.pcl-vcp_ucf101mini-s1", help="any zoo name")
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    torch.manual_seed(0)

    teacher = kdvideo.create_model(options.teacher, num_classes=0, pretrained=True).eval().requires_grad_(False)
    spec = teacher.clip_spec
    student = kdvideo.create_model("three_layers", width=8, clip_spec=spec)
    adapter = nn.Linear(student.num_features, teacher.num_features)  # only for the loss, thrown away afterwards
    optimizer = torch.optim.AdamW([*student.parameters(), *adapter.parameters()], lr=3e-3)
    imitation = EmbeddingDistillation()

    videos = kdvideo.load_dataset("ucf101", options.root, subset="train")
    dataset = TrainClips(videos, spec, augment=AugmentConfig(), short_side=spec.usual_short_side, seed=0)
    sampler = EpochSampler(len(dataset), seed=0, batch_size=8)
    loader = create_loader(dataset, batch_size=8, num_workers=0, sampler=sampler)
    for epoch in range(options.epochs):
        sampler.epoch = epoch
        losses = []
        for batch in loader:
            clips = kdvideo.prepare_clips(batch["clips"].flatten(0, 1), spec)  # [B, C, T, H, W]
            loss = imitation(adapter(student(clips)), teacher(clips))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch} loss {sum(losses) / len(losses):.3f}")


if __name__ == "__main__":
    main()
