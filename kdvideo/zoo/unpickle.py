"""Reads checkpoints of strangers. Only tensors come out, and nothing that they name is imported or called.

A pickle is a program: it names functions, calls them and sets attributes. `torch.load(weights_only=True)` refuses all
but a few names. Published checkpoints often carry an `argparse.Namespace`, numpy scalars or a class of their author's
beside the weights, and are refused for it. These are read again with a placeholder for every unknown name.
"""

import logging
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, ClassVar, Self

import torch
from torch import Tensor

from kdvideo.files import check_stored

__all__ = ["Placeholder", "read_checkpoint"]

logger = logging.getLogger("kdvideo")

_ZIP = b"PK\x03\x04"  # torch also uses it to distinguish its zip files from its older plain pickles


class Placeholder:
    """Stands for an object whose class or function is not trusted.

    It can be called, filled and given a state, as pickle would do with the real object. It does nothing.

    Attributes:
        name: the name of the class or function, e.g. "argparse.Namespace".
    """

    name: ClassVar[str]
    dump_patches: ClassVar[bool] = False  # torch writes a file beside the user's if a pickled module says True

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Takes any arguments, as the real one may."""
        return super().__new__(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Self:
        """Takes any arguments. The real one may have returned a function."""
        return self

    @staticmethod
    def _ignore(*args: Any) -> None:
        """Ignores a state or an item. Static, since pickle may take the class itself for an object."""

    __setstate__ = __setitem__ = append = extend = add = _ignore


def read_checkpoint(path: Path) -> Any:
    """Reads what `torch.save` wrote, on the CPU.

    Objects of unknown classes are `Placeholder`s, which the log names. Torch's zip files and the older plain pickles
    are read; TorchScript and the tar files of 2016 are refused.

    Raises:
        ValueError: the file cannot be read as a checkpoint.
    """
    with path.open("rb") as stream:
        is_zip = stream.read(len(_ZIP)) == _ZIP
    if is_zip:
        check_stored(path)
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols, and about classes without available source
        try:
            return torch.load(stream, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            stream.seek(0)  # a checkpoint with more than weights; TorchScript and tar raise RuntimeError
        except Exception as error:  # the errors of the pickle module, zipfile or the tensors
            raise _unreadable(path, error) from None
        try:
            return _load_inert(stream, path)
        except Exception as error:
            raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ValueError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ValueError(f"{path} cannot be read as a checkpoint ({reason})")


def _load_inert(stream: IO[bytes], path: Path) -> Any:
    trusted = _trusted()
    placeholders: dict[str, type[Placeholder]] = {}

    # Python's own unpickler. The one in C gives its memo as many places at once as a pickle of a few bytes asks for.
    class InertUnpickler(pickle._Unpickler):
        """Answers the names that torch.load, which derives from it, does not answer itself: all but storages."""

        def find_class(self, module: str, name: str) -> Any:
            full_name = f"{module}.{name}"
            if full_name in trusted:
                return trusted[full_name]
            return placeholders.setdefault(full_name, type("Placeholder", (Placeholder,), {"name": full_name}))

    pickle_module = SimpleNamespace(
        __name__=__name__, Unpickler=InertUnpickler, load=lambda file, **kwargs: InertUnpickler(file, **kwargs).load()
    )
    checkpoint = torch.load(stream, map_location="cpu", weights_only=False, pickle_module=pickle_module)
    if placeholders:
        logger.warning("%s: not loaded, as their code is not trusted: %s", path, ", ".join(sorted(placeholders)))
    return checkpoint


def _trusted() -> dict[str, Callable[..., Any]]:
    """Returns all that a pickle may call, made anew per file. A pickle can also set attributes of what it gets."""
    return {
        "collections.OrderedDict": OrderedDict,
        "torch.Size": torch.Size,
        "torch._utils._rebuild_tensor": partial(_rebuild_tensor),
        "torch._utils._rebuild_tensor_v2": partial(_rebuild_tensor),
        "torch._utils._rebuild_parameter": partial(_rebuild_parameter),
    }


def _rebuild_tensor(
    storage: torch.storage.TypedStorage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    """Rebuilds a tensor without gradient and hooks. Torch checks that it lies within its storage."""
    return torch._utils._rebuild_tensor(storage, offset, size, stride)


def _rebuild_parameter(data: Tensor, *_: Any) -> Tensor:
    return data
