"""Pictures of runs and of what models have learned. Each is made by a pure function and is a matplotlib figure."""

from kdvideo.extras import extra_imports

with extra_imports():
    import matplotlib  # noqa: F401 - every module of this package needs it

__all__: list[str] = []
