"""Networks of the `transformers` library as backbones: teachers that others have trained.

`families.py` has the one table of what is known; `video.py` adapts the families that take clips. The library is
imported when a network is built, not before, because its import takes seconds.
"""

from kdvideo.models.from_transformers.build import build_transformers

__all__ = ["build_transformers"]
