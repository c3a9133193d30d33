"""Features of many videos as one file: a table for data tools, and a gallery to find neighbours in."""

import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Self

import simplejson
from torch import Tensor
from torch.nn import functional as F

from kdvideo.foreign import check_fields, parse_json, printable
from kdvideo.inference.gallery_files import COLUMNS, StoredGallery, check_format, read_gallery, write_gallery
from kdvideo.inference.videos import VideoOutput
from kdvideo.names import name_as_text, name_of_text

__all__ = ["Gallery", "GalleryFacts", "Neighbour", "write_features"]

logger = logging.getLogger("kdvideo")
_SUBSETS = ("train", "test", "val", "validation")


@dataclass(frozen=True)
class GalleryFacts:
    """The model that made the features of a gallery.

    Features of two different models cannot be compared.

    Attributes:
        model: the model's zoo name, path or URL.
        sha256: the hash of its weights.
        num_clips: the number of clips per video. A feature is their mean.
        root: of a part of a table, the folder of the videos. "" for a table, which may move with its videos.
    """

    model: str
    sha256: str
    num_clips: int
    root: str = ""

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads what a gallery stores of its model.

        Raises:
            ValueError: it is something else.
        """
        values = parse_json(text)
        check_fields(values, cls, what="its description is none")
        return cls(**values)


@dataclass(frozen=True)
class Neighbour:
    """A video of a gallery that is near a query.

    Attributes:
        video: its name in the gallery, as `kdvideo.names.name_as_text` gives it.
        class_name: its class in the gallery. "" if it has none.
        similarity: the cosine of the two features, in [-1, 1].
    """

    video: str
    class_name: str
    similarity: float


def write_features(path: Path, outputs: Iterable[VideoOutput], *, root: Path, facts: GalleryFacts) -> int:
    """Writes one row per video, with name, class, frames, and feature or problem.

    A video's class is the first folder of its name, `CLASS/subject/1.avi`, and "" for a video beside the folders. If
    all videos lie in folders train, test, val or validation, as in `class_folders`, it is the folder below.

    Names are written as `kdvideo.names.name_as_text` gives them. The file is written atomically. If computing
    ends early, the rows so far are written to `NAME.partial.parquet` (or `.safetensors`) beside `path`, and `path`
    stays as it was.

    Args:
        path: a name that ends in .parquet or .safetensors.
        outputs: features `[S, D]` of the S clips of each video. The row gets their mean.
        root: the folder that names are relative to.
        facts: the model that made the features. It is stored in the file.

    Returns:
        The number of videos without a feature.
    """
    check_format(path)
    _try_writing(path)
    rows: dict[str, list] = {column: [] for column in COLUMNS}
    try:
        for one in outputs:
            _add_row(rows, one, root)
    except BaseException:
        if rows["video"]:
            partial = path.with_name(f"{path.stem}.partial{path.suffix}")
            _write_table(partial, rows, facts)
            logger.warning("the rows of %d videos that were finished are in %s", len(rows["video"]), partial)
        raise
    _write_table(path, rows, facts)
    return sum(problem is not None for problem in rows["problem"])


def _try_writing(path: Path) -> None:
    """Checks that a file can be written, before hours of work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def _add_row(rows: dict[str, list], one: VideoOutput, root: Path) -> None:
    name = one.path.relative_to(root)
    if one.problem:
        logger.warning("no feature of %s: %s", printable(str(name)), printable(one.problem))
    rows["video"].append(name_as_text(name.as_posix()))
    rows["class"].append("")
    rows["num_frames"].append(one.num_frames)
    rows["feature"].append(None if one.output is None else one.output.mean(dim=0).tolist())
    rows["problem"].append(one.problem and printable(one.problem))


def _write_table(path: Path, rows: dict[str, list], facts: GalleryFacts) -> None:
    rows["class"] = _class_column(rows["video"])
    told = {name: value for name, value in asdict(facts).items() if name != "root" or value}
    write_gallery(path, rows, facts=simplejson.dumps(told))


def _class_column(names: Sequence[str]) -> list[str]:
    """Returns the class of each video by its name."""
    parts = [PurePosixPath(name_of_text(name)).parts for name in names]
    depth = int(all(len(of_one) > 2 and of_one[0] in _SUBSETS for of_one in parts))
    return [name_as_text(of_one[depth]) if len(of_one) > depth + 1 else "" for of_one in parts]


class Gallery:
    """Videos with classes and features, to find a query's neighbours in.

    Args:
        names: the names of the G videos.
        class_names: the class of each video.
        features: the feature of each video, `[G, D]`.
        facts: the model that made the features.
    """

    def __init__(self, names: list[str], class_names: list[str], features: Tensor, facts: GalleryFacts) -> None:
        self.names = names
        self.class_names = class_names
        self.features = F.normalize(features.float(), dim=1)
        self.facts = facts

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `write_features` wrote, without videos that have no feature.

        Raises:
            ValueError: the file does not exist or is no gallery.
        """
        hint = "a gallery is what `kdvideo embed FOLDER --model MODEL --out FILE.parquet` writes"
        if not path.is_file():
            raise ValueError(f"gallery {path} does not exist: {hint}")
        try:
            stored = read_gallery(path)
            facts = GalleryFacts.from_json(stored.facts)
            _check_names(stored)
            if not stored.names:
                raise ValueError("it has no video with a feature")
            return cls(stored.names, stored.class_names, stored.features, facts)
        except (KeyError, TypeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{path} is no gallery ({reason}): {hint}") from None

    def nearest(self, feature: Tensor, count: int) -> list[Neighbour]:
        """Finds the `count` videos nearest to a feature `[D]`, by cosine. The nearest one comes first."""
        similarity, places = (self.features @ F.normalize(feature, dim=0)).topk(min(count, len(self.names)))
        return [
            Neighbour(self.names[place], self.class_names[place], alike)
            for alike, place in zip(similarity.tolist(), places.tolist(), strict=True)
        ]


def _check_names(stored: StoredGallery) -> None:
    for name, class_name in zip(stored.names, stored.class_names, strict=True):
        if not isinstance(name, str) or not isinstance(class_name, str):
            raise ValueError(f"a video is called {name!r}, its class {class_name!r}")
