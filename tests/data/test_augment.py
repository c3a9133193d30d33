"""Draws of the augmentation, and what is done to the pixels."""

import pytest

from kdvideo.data.augment import AugmentConfig, AugmentPlan, draw_augment
from kdvideo.data.draws import Draws


def drawn(count: int, config: AugmentConfig) -> list[AugmentPlan]:
    return [draw_augment(Draws(0, "sample", index=index), config) for index in range(count)]


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_and_impossible_augmentations(probability):
    """With probability 1 everything is done to every clip, within SimCLR's ranges; with 0 only the crop is."""
    config = AugmentConfig(
        flip_prob=probability, color_prob=probability, grayscale_prob=probability, blur_prob=probability
    )
    certain = bool(probability)
    for augment in drawn(150, config):
        assert augment.flip is certain
        assert augment.grayscale is certain
        assert (augment.blur_sigma is not None) is certain
        assert bool(augment.jitter) is certain
        if certain:
            assert 0.1 <= augment.blur_sigma < 2.0
            amounts = dict(augment.jitter)
            assert sorted(amounts) == ["brightness", "contrast", "hue", "saturation"]
            assert -0.2 <= amounts.pop("hue") < 0.2
            assert all(0.2 <= amount < 1.8 for amount in amounts.values())


def test_augmentations_come_as_often_as_configured():
    """Among 3000 clips flips come half the time, jitter 0.8, grayscale 0.2 and blur 0.5 of it: SimCLR's defaults."""
    augments = drawn(3000, AugmentConfig())
    shares = {
        0.5: [sum(a.flip for a in augments), sum(a.blur_sigma is not None for a in augments)],
        0.8: [sum(bool(a.jitter) for a in augments)],
        0.2: [sum(a.grayscale for a in augments)],
    }
    for probability, counts in shares.items():
        # Five standard deviations of a share of 3000, at most 0.0091 each; the nearest other default is 0.3 away.
        spread = 5 * (probability * (1 - probability) / 3000) ** 0.5
        assert all(abs(count / 3000 - probability) < spread for count in counts)
