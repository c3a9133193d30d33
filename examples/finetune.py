"""Finetunes a pretrained backbone on labelled videos and measures it on the test list.

    kdvideo demo                                  # writes small videos; UCF101 in its own layout will do as well
    python examples/finetune.py output/demo/data

The new classifier learns with a larger rate than the pretrained backbone. A test video's class is the one with the
highest mean probability over its clips.
"""

import argparse

import torch
from torch.nn import functional as F

import kdvideo
from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.labelled import TrainClips
from kdvideo.data.loader import EpochSampler, create_loader


def main() -> None:
    """Trains, prints the mean loss of each epoch, and the accuracy on the test list."""
    parser = argparse.ArgumentParser(description="finetuning in a plain loop")
    parser.add_argument("root", help="a dataset in UCF101's layout")
    parser.add_argument("--model", default="r3d_10_w16.pcl-vcp_ucf101mini-s1", help="a zoo name: `kdvideo zoo list`")
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    torch.manual_seed(0)

    train, test = (kdvideo.load_dataset("ucf101", options.root, subset=subset) for subset in ("train", "test"))
    num_classes = 1 + max(record.class_id for record in train.records)
    model = kdvideo.create_model(options.model, num_classes=num_classes, pretrained=True)
    spec = model.backbone.clip_spec
    groups = [{"params": model.backbone.parameters(), "lr": 0.01}, {"params": model.head.parameters(), "lr": 0.05}]
    optimizer = torch.optim.SGD(groups, momentum=0.9)

    augment = AugmentConfig(color_prob=0.0, grayscale_prob=0.0, blur_prob=0.0)  # flips and crops only
    dataset = TrainClips(train, spec, augment=augment, short_side=spec.usual_short_side, seed=0)
    sampler = EpochSampler(len(dataset), seed=0, batch_size=8)
    loader = create_loader(dataset, batch_size=8, num_workers=0, sampler=sampler)
    for epoch in range(options.epochs):
        sampler.epoch = epoch
        losses = []
        for batch in loader:
            clips = batch["clips"].flatten(0, 1)  # uint8, one clip per video: [B, 1, C, T, H, W] -> [B, C, T, H, W]
            loss = F.cross_entropy(model(kdvideo.prepare_clips(clips, spec)), batch["class_id"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch} loss {sum(losses) / len(losses):.3f}")

    model.eval()
    hits = 0
    for record in test.records:
        clips = kdvideo.load_clips(record.path, spec, num_clips=4)
        with torch.no_grad():
            probabilities = model(kdvideo.prepare_clips(clips, spec)).softmax(dim=1).mean(dim=0)
        hits += int(probabilities.argmax() == record.class_id)
    print(f"accuracy {hits / len(test.records):.3f} chance {1 / num_classes:.3f}")


if __name__ == "__main__":
    main()
