"""Video cloze procedure: which of five operations was done to the middle clip."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.base import ClipFrames, Pretext, PretextOperation, PretextPlan
from kdvideo.data.pretexts.moves import move_frames, move_pixels, quarter_turns
from kdvideo.registry import PRETEXTS

__all__ = ["VCP"]


@PRETEXTS.register_as("vcp")
class VCP(Pretext):
    """Video cloze procedure on the middle clip, five classes (Luo et al., AAAI 2020, arXiv 2001.00294; as in PCL).

    ::

        0  as it is
        1  rotated by 90, 180 or 270 degrees, all frames alike
        2  spatially permuted           | 0 | 1 |      | 3 | 2 |
                                        | 2 | 3 |  ->  | 1 | 0 |
        3  temporally shuffled: two of its four chunks swapped, e.g.  aabbccdd -> aaddccbb
        4  replaced by a remote clip of the same video, at least a clip's extent away from the tuple:

           ....rrrr....[1111..2222..3333]....rrrr....      r where the remote clip may lie at the nearest
               `gap'                     `gap'
    """

    num_classes: ClassVar[int] = 5
    NUM_CHUNKS = 4
    CHUNK_PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    _ROTATED, _PERMUTED, _SHUFFLED, _REMOTE = 1, 2, 3, 4

    @classmethod
    def check(cls, *, clip_len: int, size: int, tuple_len: int) -> None:
        """Raises ValueError for unsuitable clips. They need quadrants and four chunks, tuples a middle clip."""
        if clip_len % cls.NUM_CHUNKS:
            raise ValueError(f"`clip_len` is {clip_len}; the pretext vcp swaps quarters of it: use a multiple of 4")
        if size % 2:
            raise ValueError(f"`size` is {size}; the pretext vcp permutes its quadrants: use an even number")
        if tuple_len % 2 == 0:
            raise ValueError(f"`tuple_len` is {tuple_len}; the pretext vcp needs a middle clip: use an odd number")

    def plan(
        self, draws: Draws, clips: Sequence[ClipFrames], *, num_frames: int, label_slot: int | None = None
    ) -> PretextPlan:
        """Draws one of the possible labels and a variant of it.

        All labels are equally likely; see `Pretext.plan`. If the video has no room for a remote clip, only labels 0 to
        3 are possible.
        """
        remote_starts = self._remote_starts(clips, num_frames)
        num_labels = self.num_classes if remote_starts else self.num_classes - 1
        label = draws.integer(num_labels) if label_slot is None else label_slot % num_labels
        variants = {self._ROTATED: 3, self._SHUFFLED: len(self.CHUNK_PAIRS), self._REMOTE: len(remote_starts)}
        argument = draws.integer(variants.get(label, 1))
        frames = list(clips)
        if label == self._REMOTE:
            middle = len(frames) // 2
            offset = remote_starts[argument] - frames[middle][0]
            frames[middle] = tuple(frame + offset for frame in frames[middle])
        return PretextPlan(label=label, argument=argument, clips=tuple(frames))

    def apply(self, clips: Tensor, operation: PretextOperation) -> Tensor:
        """Changes the middle clip of `clips[N, C, T, H, W]`. A remote clip is there already."""
        clip = clips[len(clips) // 2]
        if operation.label == self._ROTATED:
            clip.copy_(torch.rot90(clip, k=operation.argument + 1, dims=(-2, -1)))
        elif operation.label == self._PERMUTED:
            clip.copy_(_reverse_quadrants(clip))
        elif operation.label == self._SHUFFLED:
            clip.copy_(_swap_chunks(clip, self.CHUNK_PAIRS[operation.argument], dim=1))
        return clips

    def apply_batch(self, clips: Tensor, *, labels: Tensor, arguments: Tensor) -> Tensor:
        """Changes the middle clips of `clips[B, N, C, T, H, W]`; see `Pretext.apply_batch`.

        All possible moves are written down, and each clip looks up its own. Most are moves to where everything is.
        """
        middle = clips[:, clips.shape[1] // 2]
        size, frames = middle.shape[-1], torch.arange(middle.shape[2], device=clips.device)
        turns = quarter_turns(size, clips.device)
        reversed_quadrants = _reverse_quadrants(turns[0].view(size, size)).flatten()
        pixel_moves = torch.stack([*turns, reversed_quadrants])
        frame_moves = torch.stack([frames, *(_swap_chunks(frames, pair, dim=0) for pair in self.CHUNK_PAIRS)])
        turned, shuffled = (labels == label for label in (self._ROTATED, self._SHUFFLED))
        pixel_move = turned * (arguments + 1) + (labels == self._PERMUTED) * len(turns)
        frame_move = shuffled * (arguments + 1)
        moved = move_pixels(middle, pixel_moves.index_select(0, pixel_move))
        middle.copy_(move_frames(moved, frame_moves.index_select(0, frame_move)))
        return clips

    @staticmethod
    def _remote_starts(clips: Sequence[ClipFrames], num_frames: int) -> Sequence[int]:
        first, last = clips[0][0], clips[-1][-1]
        extent = clips[0][-1] - clips[0][0] + 1
        #  0 ... r ... r+extent-1 | gap = extent frames | first ... last | gap | r ... r+extent-1 ... num_frames-1
        before = range(first - 2 * extent + 1)
        after = range(last + 1 + extent, num_frames - extent + 1)
        return [*before, *after]


def _swap_chunks(frames: Tensor, pair: tuple[int, int], *, dim: int) -> Tensor:
    """Exchanges two of the four chunks along a dimension."""
    chunks = list(frames.chunk(VCP.NUM_CHUNKS, dim=dim))
    first, second = pair
    chunks[first], chunks[second] = chunks[second], chunks[first]
    return torch.cat(chunks, dim=dim)


def _reverse_quadrants(clip: Tensor) -> Tensor:
    """Reverses the order of the quadrants of `[..., H, W]`.

    0 1 / 2 3 become 3 2 / 1 0; each keeps its own orientation.
    """
    height, width = clip.shape[-2:]
    return clip.roll((height // 2, width // 2), dims=(-2, -1))
