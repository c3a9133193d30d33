"""The config keys that parameters are set by, for the errors of whatever is called with a config's values."""

from collections.abc import Iterator
from contextlib import contextmanager

from kdvideo.errors import naming

__all__ = ["PARAMETERS", "naming_keys"]

PARAMETERS = {
    "clip_len": "CLIP.LENGTH",
    "frame_stride": "CLIP.FRAME_STRIDE",
    "size": "CLIP.SIZE",
    "tuple_len": "PRETEXT.TUPLE_LEN",
    "pretext": "PRETEXT.NAME",
    "teacher": "TEACHER.WEIGHTS",
    "losses": "TEACHER.LOSSES",
    "student_layers": "TEACHER.STUDENT_LAYERS",
    "frames": "TEACHER.SAMPLING",
    "replay": "TEACHER.REPLAY",
    "views": "TEACHER.VIEWS",
    "root": "DATA.ROOT",
    "list_dir": "DATA.LIST_DIR",
    "split": "DATA.SPLIT",
    "cache": "DATA.CACHE",
    "manifest": "DATA.MANIFEST",
    "max_bad_fraction": "DATA.MAX_BAD_FRACTION",
    "tuples_per_video": "EVAL.TUPLES_PER_VIDEO",
    "clips_per_video": "EVAL.CLIPS_PER_VIDEO",
    "directory": "OUTPUT_DIR",
    "zoo": "ZOO.DIR",
    "replace": "ZOO.REPLACE",
    "batch_size": "SOLVER.BATCH_SIZE",
}


@contextmanager
def naming_keys() -> Iterator[None]:
    """Names parameters as config keys in errors. It is a context and a decorator."""
    with naming(**PARAMETERS):
        yield
