"""Packages that only parts of kdvideo need. Each belongs to an extra, `pip install 'kdvideo[EXTRA]'`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["OPTIONAL_PACKAGES", "MissingExtraError", "OptionalPackage", "extra_imports", "missing_extra"]


class OptionalPackage(NamedTuple):
    """The purpose of a package, and the extra of setup.py that installs it.

    Attributes:
        extra: the name of the extra.
        purpose: the commands or functions that need the package.
        distribution: the package's name on PyPI.
    """

    extra: str
    purpose: str
    distribution: str


# module -> its package. setup.py has the version bounds, and a test compares the two.
OPTIONAL_PACKAGES = {
    "pebble": OptionalPackage("train", "kdvideo train, eval and data", "pebble"),
    "tensorboard": OptionalPackage("train", "the TensorBoard files of a run", "tensorboard"),
    "sklearn": OptionalPackage("eval", "kdvideo eval: kNN, linear probe, confusions", "scikit-learn"),
    "scipy": OptionalPackage("eval", "kdvideo study: intervals", "scipy"),
    "matplotlib": OptionalPackage("pictures", "kdvideo picture, kdvideo demo", "matplotlib"),
    "captum": OptionalPackage("pictures", "kdvideo picture gradcam", "captum"),
    "threadpoolctl": OptionalPackage("pictures", "kdvideo picture tsne", "threadpoolctl"),
    "pyarrow": OptionalPackage("parquet", "Parquet tables of kdvideo embed", "pyarrow"),
    "jinja2": OptionalPackage("report", "kdvideo report", "jinja2"),
    "plotly": OptionalPackage("report", "kdvideo report", "plotly"),
    "submitit": OptionalPackage("slurm", "kdvideo train --submit slurm", "submitit"),
    "huggingface_hub": OptionalPackage("hub", "weights from hf:// addresses", "huggingface_hub"),
    "transformers": OptionalPackage("teachers", "hf: repositories and folders with config.json", "transformers"),
    "timm": OptionalPackage("teachers", "timm: image models", "timm"),
    "onnx": OptionalPackage("export", "kdvideo export --format onnx", "onnx"),
    "onnxruntime": OptionalPackage("export", "kdvideo export --format onnx", "onnxruntime"),
    "onnxscript": OptionalPackage("export", "kdvideo export --format onnx", "onnxscript"),
}


class MissingExtraError(ImportError):
    """A package of an extra is not installed. The message is one line with the command that installs it."""


def missing_extra(error: BaseException) -> MissingExtraError | None:
    """Translates a failed import of an optional package. It returns None for every other error."""
    if isinstance(error, MissingExtraError):
        return error
    package = OPTIONAL_PACKAGES.get(error.name or "") if isinstance(error, ModuleNotFoundError) else None
    if package is None:
        return None
    install = f"pip install 'kdvideo[{package.extra}]'"
    return MissingExtraError(f"{package.distribution} is not installed: {install}")


@contextmanager
def extra_imports() -> Iterator[None]:
    """Imports optional packages. If one is missing, the error names it in one line with its pip command.

    Raises:
        MissingExtraError: an import in the block failed, because a package of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if missing := missing_extra(error):
            raise missing from None
        raise
