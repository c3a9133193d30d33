"""Parts of a table of features: several processes compute some videos each, and one joins what they left.

A part is stored beside the table, as `NAME.part-I-of-N.safetensors`, whatever the table's own format is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdvideo.data.checking.manifest import part_files, part_path
from kdvideo.foreign import printable
from kdvideo.inference.gallery import GalleryFacts
from kdvideo.inference.gallery_files import read_rows
from kdvideo.inference.videos import VideoOutput
from kdvideo.names import name_as_text, name_of_text

__all__ = ["KnownRows", "facts_of_part", "join_outputs", "read_parts", "remove_parts", "table_of"]


@dataclass(frozen=True)
class KnownRows:
    """What parts have found out.

    Attributes:
        rows: the output of each video, by its path.
        facts: the model of each file, by the file's path.
    """

    rows: dict[Path, VideoOutput]
    facts: dict[Path, GalleryFacts]

    def check(self, facts: GalleryFacts) -> None:
        """Raises ValueError if a part is another model's, or of another number of clips."""
        for file, own in self.facts.items():
            if replace(own, root="") != facts:
                raise ValueError(
                    f"{file} is a part of another table, of {own.model} with {own.num_clips} clips: remove it, or "
                    "choose another `path`"
                )


def table_of(out: Path, part: tuple[int, int] | None) -> Path:
    """Returns the file of a part of a table; the table itself for None."""
    return out if part is None else part_path(_parts_name(out), part)


def read_parts(out: Path, part: tuple[int, int] | None, *, root: Path) -> KnownRows:
    """Reads the rows of all parts of a table, or of one part.

    A video that has changed since its part was written is left out.

    Args:
        out: the table.
        part: the part. None for all.
        root: the folder that the table's names are relative to.

    Raises:
        ValueError: a file is damaged, or is a part of another folder's table.
    """
    files = part_files(_parts_name(out)) if part is None else [table_of(out, part)]
    rows: dict[Path, VideoOutput] = {}
    facts: dict[Path, GalleryFacts] = {}
    for file in filter(Path.is_file, files):
        try:
            stored, description = read_rows(file)
            facts[file] = GalleryFacts.from_json(description)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is no part of a table of features ({error}): remove it") from None
        if facts[file].root != (here := _root_as_text(root)):  # its videos may have the same names
            raise ValueError(
                f"{file} is a part of the table of {printable(facts[file].root)}, not of {printable(here)}: remove "
                f"{_parts_name(out).stem}.part-*, or choose another `path`"
            )
        written = file.stat().st_mtime_ns
        for name, num_frames, feature, problem in stored:
            path = root / name_of_text(name)
            if _changed(path) <= written:
                output = None if feature is None else feature[None]
                rows[path] = VideoOutput(path, num_frames, output, problem)
    return KnownRows(rows, facts)


def facts_of_part(facts: GalleryFacts, *, root: Path) -> GalleryFacts:
    """Returns what a part stores: also whose part it is."""
    return replace(facts, root=_root_as_text(root))


def join_outputs(paths: Sequence[Path], known: KnownRows, outputs: Iterable[VideoOutput]) -> Iterator[VideoOutput]:
    """Yields the output of each video in the order of the paths, known or computed.

    Args:
        paths: the videos.
        known: what parts have found out.
        outputs: those of the other videos, in their order.
    """
    computed = iter(outputs)
    for path in paths:
        yield known.rows[path] if path in known.rows else next(computed)


def remove_parts(out: Path) -> None:
    """Removes the parts of a table that is whole."""
    for file in part_files(_parts_name(out)):
        file.unlink()


def _parts_name(out: Path) -> Path:
    return out.with_suffix(".safetensors")


def _root_as_text(root: Path) -> str:
    return name_as_text(str(root.resolve()))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return float("inf")
