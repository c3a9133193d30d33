"""The part of a task that turns decoded clips into a network's input."""

import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec, normalise_clips

__all__ = ["ClipPreparation"]


class ClipPreparation(nn.Module):
    """`prepare_clips` for one input convention, with constants that are on the task's device already.

    Args:
        spec: the network's input convention.

    Example:
        >>> clips = torch.randint(0, 256, (2, 3, 3, 4, 8, 8), dtype=torch.uint8)
        >>> ClipPreparation(ClipSpec(clip_len=4, size=8))(clips).shape
        torch.Size([2, 3, 3, 4, 8, 8])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ClipSpec) -> None:
        super().__init__()
        self.modality = spec.modality
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(spec, name)).view(3, 1, 1, 1), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """Returns what `prepare_clips` returns. On a GPU, channels are innermost in memory, as the stem wants them.

        Args:
            clips: uint8 `[..., C, T, H, W]`, RGB.
        """
        prepared = normalise_clips(clips, mean=self.mean, std=self.std, modality=self.modality)
        if not prepared.is_cuda:
            return prepared
        leading = prepared.shape[:-4]
        one_batch = prepared.reshape(-1, *prepared.shape[-4:])
        return one_batch.contiguous(memory_format=torch.channels_last_3d).unflatten(0, leading)
