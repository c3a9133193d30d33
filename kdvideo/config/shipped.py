"""The configs that come with kdvideo, found by name: `pretrain/pcl_vcp_r3d_10_ucf101`."""

import re
from pathlib import Path

from kdvideo.paths import expand_user, zoo_root
from kdvideo.registry import unknown_name

__all__ = ["config_names", "describe_config", "find_config"]

_SUFFIX = ".yaml"


def config_names() -> list[str]:
    """Returns the names of all configs that come with kdvideo, sorted."""
    folder = _folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob(f"*/*{_SUFFIX}"))


def find_config(name: Path | str, *, relative_to: Path | None = None) -> Path:
    """Returns the file of a config that is given by path or by name.

    Args:
        name: a file, or the name of a config that comes with kdvideo, with or without `.yaml`. A file that exists is
            taken before a name.
        relative_to: the folder that a path is relative to. Defaults to the working folder.

    Raises:
        ValueError: there is no such file and no such name. Names the configs with near names.
    """
    path = (relative_to or Path()) / expand_user(name)
    if path.is_file():
        return path
    known = config_names()
    if (asked := str(name).removesuffix(_SUFFIX)) in known:
        return _folder() / f"{asked}{_SUFFIX}"
    short = asked.rpartition("model_zoo/configs/")[2]  # where no checkout is, its paths are written from habit
    unknown = unknown_name("config", short, known, otherwise="`kdvideo configs` lists those that come with kdvideo")
    raise ValueError(f"config file {path} does not exist; {unknown}")


def describe_config(name: str) -> str:
    """Returns what a config that comes with kdvideo is for: how its first comment begins that is not its command."""
    lines = (_folder() / f"{name}{_SUFFIX}").read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    comment = next((line for line in comments if not line.startswith("kdvideo ")), "")
    return re.split(r"[.:;] ", comment)[0].removesuffix(".")


def _folder() -> Path:
    return zoo_root() / "configs"
