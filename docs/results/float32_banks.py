"""`CONTRAST.NAME bank_nce_float32`, to compare with: `kdvideo train --import docs/results/float32_banks.py`."""

from typing import Self

from fvcore.common.config import CfgNode

from kdvideo.losses import BankNCE
from kdvideo.registry import LOSSES


@LOSSES.register_as("bank_nce_float32")
class Float32BankNCE(BankNCE):
    """NCE with memory banks that keep float32 vectors; they start where the float16 ones do."""

    @classmethod
    def from_config(cls, cfg: CfgNode, *, num_videos: int) -> Self:
        """Reads what `bank_nce` reads."""
        return super().from_config(cfg, num_videos=num_videos).float()
