"""Pretrains a backbone without labels by PCL with the VCP pretext: a plain loop, no config.

    kdvideo demo                                  # writes small videos; UCF101 in its own layout will do as well
    python examples/pretrain.py output/demo/data

Each sample is a tuple of three clips of one video. The network says what was done to the middle one (a pretext task),
and first and last clip have to find each other among the clips of other videos (a contrastive loss).
"""

import argparse

import torch
from torch.nn import functional as F

import kdvideo
from kdvideo.data import VCP
from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.loader import EpochSampler, create_loader
from kdvideo.data.plan import TupleLayout
from kdvideo.data.samples import TrainTuples, TupleConfig
from kdvideo.data.videos import keep_long_enough
from kdvideo.losses import BankNCE


def main() -> None:
    """Trains, prints the mean loss of each epoch, and saves the weights."""
    parser = argparse.ArgumentParser(description="pretext-contrastive learning in a plain loop")
    parser.add_argument("root", help="a dataset in UCF101's layout")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", default="pretrained.pt", help="where the weights go (default %(default)s)")
    options = parser.parse_args()
    torch.manual_seed(0)

    spec = kdvideo.ClipSpec(clip_len=8, size=48)
    layout = TupleLayout(spec, tuple_len=3, interval=2)
    tuples = TupleConfig(layout, VCP(), AugmentConfig(blur_prob=0.0), short_side=spec.usual_short_side)
    videos = keep_long_enough(kdvideo.load_dataset("ucf101", options.root, subset="train"), layout.min_frames)

    model = kdvideo.create_pcl_model("r3d_10", width=16, clip_spec=spec)
    contrast = BankNCE(num_videos=len(videos))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)

    dataset = TrainTuples(videos, tuples, seed=0, num_negatives=contrast.num_negatives)
    sampler = EpochSampler(len(dataset), seed=0, batch_size=8)
    loader = create_loader(dataset, batch_size=8, num_workers=0, sampler=sampler)
    for epoch in range(options.epochs):
        sampler.epoch = epoch
        losses, hits = [], []
        for batch in loader:
            outputs = model(kdvideo.prepare_clips(batch["clips"], spec))  # clips: uint8 [B, N, C, T, H, W]
            pretext = F.cross_entropy(outputs["pretext_logits"], batch["pretext_label"])
            loss = pretext + 0.5 * contrast(outputs["z"], batch["index"], batch["negatives"])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
            losses.append(loss.item())
            hits += (outputs["pretext_logits"].argmax(dim=1) == batch["pretext_label"]).tolist()
        print(f"epoch {epoch} loss {sum(losses) / len(losses):.3f} pretext accuracy {sum(hits) / len(hits):.3f}")
    torch.save(model.state_dict(), options.out)  # read again by kdvideo.load_pretrained(model, "pretrained.pt")


if __name__ == "__main__":
    main()
