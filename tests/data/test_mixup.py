"""Mixed samples: what is drawn, what is blended, and that neither batch nor place decides about it."""

import numpy as np
import pytest
import torch

from kdvideo.data.batch import SampleKey
from kdvideo.data.mixup import draw_mixing, mix_batch, pair_samples

KEYS = [SampleKey(epoch, video) for epoch in range(40) for video in range(50)]


def test_partners_are_all_other_videos_alike():
    """2000 draws of 49 others: each about 40.8 times by its distance, never the video itself; anew in each epoch."""
    drawn = [draw_mixing(1.0, seed=0, key=key, num_videos=50)[0] for key in KEYS]
    distances = np.bincount(
        [(partner - key.video) % 50 for partner, key in zip(drawn, KEYS, strict=True)], minlength=50
    )
    assert distances[0] == 0
    expected = len(KEYS) / 49
    chi_square = float(((distances[1:] - expected) ** 2 / expected).sum())
    assert chi_square < 85  # 48 degrees of freedom: 99.9 % lie below
    assert drawn == [draw_mixing(1.0, seed=0, key=key, num_videos=50)[0] for key in KEYS]
    assert drawn != [draw_mixing(1.0, seed=1, key=key, num_videos=50)[0] for key in KEYS]
    assert draw_mixing(1.0, seed=0, key=SampleKey(0, 0), num_videos=1)[0] == 0


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_shares_have_the_moments_of_beta(alpha: float):
    """Mean 1/2, variance 1 / (4 (2 alpha + 1)): four standard errors of 2000 draws."""
    shares = np.array([draw_mixing(alpha, seed=0, key=key, num_videos=50)[1] for key in KEYS])
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(shares.mean() - 0.5) < 4 * np.sqrt(variance / len(shares))
    assert abs(shares.var() - variance) < 4 * 0.25 / np.sqrt(len(shares))  # squares are at most 1/4
    assert ((shares >= 0) & (shares <= 1)).all()


def test_clips_are_blended_as_a_loop_over_pixels_does():
    """Within the rounding of a half: the reference computes in float64."""
    generator = torch.Generator().manual_seed(0)
    clips = [torch.randint(0, 256, (1, 3, 2, 4, 4), dtype=torch.uint8, generator=generator) for _ in range(4)]
    shares = [0.0, 0.3]
    pairs = [
        pair_samples(
            {"clips": clips[i], "index": i, "class_id": i},
            {"clips": clips[i + 2], "index": i + 2, "class_id": i + 2},
            share=shares[i],
        )
        for i in range(2)
    ]
    batch = {
        "clips": torch.stack([pair["clips"] for pair in pairs]),
        "teacher_clips": torch.stack([pair["clips"] for pair in pairs]),
        **{
            name: torch.tensor([pair[name] for pair in pairs])
            for name in ("index", "class_id", "partner", "share", "partner_class")
        },
    }
    mixed = mix_batch(batch)
    for i, share in enumerate(shares):
        exact = share * clips[i].double() + (1 - share) * clips[i + 2].double()
        assert (mixed["clips"][i].double() - exact).abs().max() <= 0.5 + 1e-4  # the blend itself is in float32
    assert torch.equal(mixed["clips"], mixed["teacher_clips"])
    assert mixed["clips"].dtype == torch.uint8
    assert "partner" not in mixed
    assert mixed["partner_class"].tolist() == [2, 3]
    part = mix_batch({name: value[1:] for name, value in batch.items()})  # as another rank or part of the batch has it
    assert torch.equal(part["clips"], mixed["clips"][1:])
