"""Retrieval grids: videos of a gallery beside their nearest neighbours, as small pictures."""

import base64
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from kdvideo.data.datasets.records import check_inside
from kdvideo.data.readers.decode import TIME_LIMIT, count_frames, read_frames
from kdvideo.inference.gallery import Gallery, GalleryFacts
from kdvideo.names import name_of_text

__all__ = ["Grid", "GridRow", "Picture", "build_grid"]

logger = logging.getLogger("kdvideo")

_QUERIES = 8
_NEIGHBOURS = 5
_PIXELS = 96


@dataclass(frozen=True)
class Picture:
    """A video's place in a row.

    Attributes:
        video: its name in the gallery.
        class_name: the video's class. "" if it has none.
        similarity: the cosine to the row's query. 1 for the query itself.
        image: the middle frame, small and square. None if it cannot be read.
    """

    video: str
    class_name: str
    similarity: float
    image: Image.Image | None

    @property
    def address(self) -> str:
        """The image as a data address, or "".

        A page can show the address, because it contains a JPEG.
        """
        if self.image is None:
            return ""
        stream = io.BytesIO()
        self.image.save(stream, "JPEG", quality=80)
        return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


@dataclass(frozen=True)
class GridRow:
    """A query and its neighbours, the nearest first."""

    query: Picture
    neighbours: tuple[Picture, ...]


@dataclass(frozen=True)
class Grid:
    """The nearest videos of some videos of a gallery.

    Attributes:
        facts: which model made the features.
        num_videos: the number of videos in the gallery.
        hits: the share of videos whose nearest other video has their class, in [0, 1]. None without classes.
        rows: some queries, from as many classes as possible.
    """

    facts: GalleryFacts
    num_videos: int
    hits: float | None
    rows: tuple[GridRow, ...]


def build_grid(gallery_path: Path, root: Path, *, time_limit: float = TIME_LIMIT) -> Grid:
    """Finds the nearest other videos of each video in a gallery. Some videos get pictures.

    Args:
        gallery_path: what `kdvideo embed ROOT --out FILE.parquet` wrote.
        root: the folder of videos that was embedded.
        time_limit: seconds that reading a video may take.

    Raises:
        ValueError: the file is no gallery or has a single video, or there is no such folder.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder: give the one that was embedded into {gallery_path}")
    gallery = Gallery.read(gallery_path)
    if len(gallery.names) < 2:
        raise ValueError(f"gallery {gallery_path} has one video: there is no other to find")
    alike = gallery.features @ gallery.features.T
    alike.fill_diagonal_(-torch.inf)
    similarity, places = alike.topk(min(_NEIGHBOURS, len(gallery.names) - 1), dim=1)
    pictures = _Pictures(gallery, root, time_limit)
    rows = [
        GridRow(
            pictures(query, 1.0),
            tuple(
                pictures(place, value)
                for place, value in zip(places[query].tolist(), similarity[query].tolist(), strict=True)
            ),
        )
        for query in _choose(gallery.class_names)
    ]
    return Grid(gallery.facts, len(gallery.names), _hits(gallery.class_names, places[:, 0].tolist()), tuple(rows))


class _Pictures:
    def __init__(self, gallery: Gallery, root: Path, time_limit: float) -> None:
        self.gallery = gallery
        self.root = root
        self.time_limit = time_limit
        self.images: dict[int, Image.Image | None] = {}

    def __call__(self, place: int, similarity: float) -> Picture:
        name = self.gallery.names[place]
        if place not in self.images:
            self.images[place] = _middle_frame(self.root, name, time_limit=self.time_limit)
        return Picture(name, self.gallery.class_names[place], similarity, self.images[place])


def _middle_frame(root: Path, name: str, *, time_limit: float) -> Image.Image | None:
    try:
        path = root / check_inside(name_of_text(name), origin="the gallery")
        (frame,) = read_frames(path, [count_frames(path, time_limit=time_limit) // 2], time_limit=time_limit)
    except (OSError, ValueError) as error:
        logger.warning("no picture: %s", error)
        return None
    small = F.center_crop(F.resize(frame, [_PIXELS], antialias=True), [_PIXELS])
    return Image.fromarray(small.permute(1, 2, 0).numpy())


def _choose(class_names: Sequence[str]) -> list[int]:
    """Chooses queries: first the first video of each class, then the second ones, until there are enough."""
    turn: dict[str, int] = {}
    order = []
    for place, name in enumerate(class_names):
        turn[name] = turn.get(name, -1) + 1
        order.append((turn[name], place))
    return sorted(place for _, place in sorted(order)[:_QUERIES])


def _hits(class_names: Sequence[str], nearest: Sequence[int]) -> float | None:
    if len(set(class_names)) < 2:
        return None
    return sum(class_names[place] == own for own, place in zip(class_names, nearest, strict=True)) / len(class_names)
