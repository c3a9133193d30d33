"""Cached frames on the training device: samples say where their clips lie, and one gather a batch fetches the pixels.

Videos have frames of different sizes. They lie one after the other in one flat tensor, as their files hold them::

    pixels   | video 0                         | video 1           | ...
             | frame 0          | frame 1 ...  | frame 0 ...
             | R     G     B    |
             | H rows of W each |

    pixel (video v, frame t, channel c, row y, column x)
        at   start[v]  +  t * 3 * H[v] * W[v]  +  c * H[v] * W[v]  +  y * W[v]  +  x

A crop's rows and columns count from its corner. Those of a mirrored clip run from right to left.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from kdvideo.data.batch import Batch, Sample
from kdvideo.data.pretexts.base import ClipFrames
from kdvideo.data.resize import Place, crop_corner

__all__ = ["ResidentFrames", "locate_clips"]


class ResidentFrames:
    """All frames of a list's videos on one device.

    Args:
        videos: uint8 `[T, 3, H, W]` for each video. Each is copied before the next one is asked for, so they may be
            files that are mapped one at a time.
        num_bytes: room for the pixels of all of them.
        size: height and width of the crops.
        device: where the frames are copied to.

    Attributes:
        shapes: height and width of each video's frames.
    """

    def __init__(self, videos: Iterable[Tensor], *, num_bytes: int, size: int, device: torch.device) -> None:
        self.shapes: list[tuple[int, int]] = []
        self._size = size
        self._pixels = torch.empty(num_bytes, dtype=torch.uint8, device=device)
        layout, end = [], 0
        for frames in videos:
            start, end = end, end + frames.numel()
            self._pixels[start:end].copy_(frames.flatten())
            self.shapes.append((frames.shape[-2], frames.shape[-1]))
            layout.append((start, *self.shapes[-1]))
        self._layout = torch.tensor(layout, dtype=torch.int64, device=device)  # [videos, 3]: start, height, width

    def add_clips(self, batch: Batch) -> Batch:
        """Fetches the clips of a batch, without waiting for the device.

        Args:
            batch: what `locate_clips` says of each sample: `frames` `[B, N, T]`, `corner` `[B, N, 2]` and `flip`
                `[B, N]`, besides `index` `[B]`. If there is a `partner` `[B]`, N is 2, and the second clip is of that
                video.

        Returns:
            The batch with `clips` uint8 `[B, N, 3, T, size, size]` in place of these three.
        """
        rest = batch.copy()
        frames, corner, flip = rest.pop("frames"), rest.pop("corner"), rest.pop("flip")
        videos = [rest["index"], rest["partner"]] if "partner" in rest else [rest["index"]]
        layout = self._layout[torch.stack(videos, dim=1)]  # [B, 1, 3], or of both videos [B, 2, 3]
        start, height, width = (part.unsqueeze(-1) for part in layout.unbind(-1))  # [B, 1, 1] or [B, 2, 1]
        steps = torch.arange(self._size, device=frames.device)
        first = start + frames * (3 * height * width)  # [B, N, T], each frame's first pixel
        planes = torch.arange(3, device=frames.device) * (height * width)  # [B, 1, 3]
        rows = (corner[..., :1] + steps) * width  # [B, N, size]
        columns = corner[..., 1:] + torch.where(flip[..., None], self._size - 1 - steps, steps)  # [B, N, size]
        lines = (first[:, :, None] + planes[..., None])[..., None] + rows[:, :, None, None]  # [B, N, 3, T, size]
        places = lines[..., None] + columns[:, :, None, None, None]  # [B, N, 3, T, size, size]
        return {**rest, "clips": self._pixels.take(places)}


def locate_clips(
    clips: Sequence[ClipFrames],
    *,
    places: Sequence[Place],
    flips: Sequence[bool],
    shape: tuple[int, int],
    size: int,
) -> Sample:
    """Says where a sample's clips lie among resident frames.

    Args:
        clips: frames of each clip.
        places: where each clip's crop lies.
        flips: whether each clip is mirrored left to right.
        shape: height and width of the video's frames.
        size: height and width of the crop.

    Returns:
        `frames` int64 `[N, T]`; `corner` int64 `[N, 2]`, the crop's first row and column; `flip` bool `[N]`.
    """
    return {
        "frames": torch.tensor(clips),
        "corner": torch.tensor([crop_corner(place, shape, size=size) for place in places]),
        "flip": torch.tensor(flips),
    }
