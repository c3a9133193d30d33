"""Distils a pretrained R3D into a C3D without labels: pretext loss, contrastive loss, and the teacher's answers.

    kdvideo demo                                  # writes small videos; UCF101 in its own layout will do as well
    python examples/distill.py output/demo/data

The student is of another architecture. Both networks see the same tuples of clips, and the student learns to give the
pretext answers of its teacher (Camarena et al., 2022).
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
from kdvideo.losses import BatchNCE, LogitDistillation


def main() -> None:
    """Trains and prints the means of each epoch."""
    parser = argparse.ArgumentParser(description="knowledge distillation in a plain loop")
    parser.add_argument("root", help="a dataset in UCF101's layout")
    parser.add_argument("--teacher", default="r3d_10_w16.pcl-vcp_ucf101mini-s1", help="a zoo name with a pretext head")
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    torch.manual_seed(0)

    teacher = kdvideo.create_pcl_model(options.teacher, pretrained=True).eval().requires_grad_(False)
    spec = teacher.backbone.clip_spec
    student = kdvideo.create_pcl_model("c3d", width=8, clip_spec=spec)
    contrast, imitation = BatchNCE(), LogitDistillation(temperature=4.0)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)

    layout = TupleLayout(spec, tuple_len=3, interval=2)
    tuples = TupleConfig(layout, VCP(), AugmentConfig(blur_prob=0.0), short_side=spec.usual_short_side)
    videos = keep_long_enough(kdvideo.load_dataset("ucf101", options.root, subset="train"), layout.min_frames)
    dataset = TrainTuples(videos, tuples, seed=0, num_negatives=0)  # the batch's other videos are the negatives
    sampler = EpochSampler(len(dataset), seed=0, batch_size=8)
    loader = create_loader(dataset, batch_size=8, num_workers=0, sampler=sampler)
    for epoch in range(options.epochs):
        sampler.epoch = epoch
        totals = torch.zeros(3)
        for batch in loader:
            clips = kdvideo.prepare_clips(batch["clips"], spec)  # [B, N, C, T, H, W]
            ours, theirs = student(clips), teacher(clips)
            pretext = F.cross_entropy(ours["pretext_logits"], batch["pretext_label"])
            kd_loss = imitation(ours["pretext_logits"], theirs["pretext_logits"])
            loss = pretext + 0.5 * contrast(ours["z"], batch["index"]) + kd_loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 2.0)
            optimizer.step()
            agree = (ours["pretext_logits"].argmax(dim=1) == theirs["pretext_logits"].argmax(dim=1)).float().mean()
            totals += torch.stack([loss.detach(), kd_loss.detach(), agree]) / len(loader)
        print(f"epoch {epoch} loss {totals[0]:.3f} kd_loss {totals[1]:.3f} agreement {totals[2]:.3f}")


if __name__ == "__main__":
    main()
