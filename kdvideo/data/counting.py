"""How many frames videos give."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from kdvideo.data.datasets import VideoRecord
from kdvideo.data.decode import count_frames

__all__ = ["count_all_frames"]


def count_all_frames(records: Sequence[VideoRecord], *, num_threads: int) -> list[int]:
    """The frames of every video, decoded once; PyAV works outside Python's lock.

    Raises:
        ValueError: a video that gives no frame.
    """
    with ThreadPoolExecutor(max_workers=num_threads) as pool:
        counts = pool.map(count_frames, (record.path for record in records))
        return list(tqdm(counts, total=len(records), desc="counting frames", unit="video", leave=False, disable=None))
