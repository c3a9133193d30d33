"""Where kdvideo keeps things: the packaged zoo, the user's home, and the two directories they may lie in."""

import os
from pathlib import Path

__all__ = ["kdvideo_home", "user_zoo", "zoo_root"]


def zoo_root() -> Path:
    """The zoo that travels with kdvideo: inside the wheel's package, or `model_zoo/` of the checkout."""
    package = Path(__file__).resolve().parent
    packaged = package / "model_zoo"
    return packaged if packaged.is_dir() else package.parent / "model_zoo"


def kdvideo_home() -> Path:
    """The user's directory: `$KDVIDEO_HOME`, or `~/.kdvideo`."""
    return Path(os.environ.get("KDVIDEO_HOME") or "~/.kdvideo").expanduser()


def user_zoo() -> Path:
    """The user's own zoo, where `ZOO.PUBLISH_AS` writes unless `ZOO.DIR` says otherwise."""
    return kdvideo_home() / "zoo"
