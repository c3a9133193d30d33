"""The places of kdvideo's files: the packaged zoo, the user's home and the folders within it."""

import os
from pathlib import Path

__all__ = ["SHIPPED_MODEL", "expand_user", "home_advice", "kdvideo_home", "user_zoo", "zoo_root"]

SHIPPED_MODEL = "r3d_10_w16.pcl-vcp_ucf101mini-s1"  # the name of the packaged weights that commands use by default
_NOWHERE = Path(os.devnull, ".kdvideo")  # for a user without a home; this path does not exist and cannot be created


def zoo_root() -> Path:
    """Returns the zoo that comes with kdvideo. It is in the wheel's package, or in a checkout's `model_zoo/`."""
    package = Path(__file__).resolve().parent
    packaged = package / "model_zoo"
    return packaged if packaged.is_dir() else package.parent / "model_zoo"


def expand_user(path: str | Path) -> Path:
    """Returns the path with `~` replaced by the user's home.

    Raises:
        ValueError: it begins with `~`, and the user has no home, as in a container with a user of its own.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: the system knows no home for this ~: write the whole path, or set HOME") from None


def kdvideo_home() -> Path:
    """Returns `$KDVIDEO_HOME` or `~/.kdvideo`. For a user without a home, it is a folder that stays empty."""
    if named := os.environ.get("KDVIDEO_HOME"):
        return expand_user(named)
    try:
        home = expand_user("~")
    except ValueError:
        return _NOWHERE
    return home / ".kdvideo" if os.access(home, os.X_OK) else _NOWHERE  # HOME may be left from another user: /root


def user_zoo() -> Path:
    """Returns the user's own zoo. `ZOO.PUBLISH_AS` writes to it unless `ZOO.DIR` is set."""
    return kdvideo_home() / "zoo"


def home_advice(path: object) -> str:
    """Returns what to do about an unusable file in `kdvideo_home()`. For any other file, it is ""."""
    try:
        home = kdvideo_home()
    except ValueError:
        return ""
    if not (isinstance(path, str | Path) and Path(path).is_relative_to(home)):
        return ""
    if home == _NOWHERE:
        return "this user has no home to keep files in: set KDVIDEO_HOME to a folder that can be written"
    return f"{path} belongs to somebody else, or is protected: set KDVIDEO_HOME to a folder of your own"
