"""The registries through which everything in kdvideo is found by name, each with its contract in `__doc__`."""

import re
from collections.abc import Callable, Iterable, Iterator
from difflib import SequenceMatcher
from importlib import import_module
from typing import Any, TypeVar

from fvcore.common.registry import Registry

__all__ = [
    "BACKBONES",
    "DATASETS",
    "HEADS",
    "LOSSES",
    "PRETEXTS",
    "TASKS",
    "NamedRegistry",
    "did_you_mean",
    "unknown_name",
]

T = TypeVar("T")
_NEAR, _HARDLY_LESS = 0.6, 0.1  # of difflib's ratio


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question, with at most three names that are near; "" where none is.

    Near is what has a part that begins with `name`, or is spelled like it and hardly less so than the best; case
    does not count.
    """
    alike = {other: SequenceMatcher(None, name.lower(), other.lower()).ratio() for other in known}
    least = max(_NEAR, max(alike.values(), default=0.0) - _HARDLY_LESS)
    part = re.compile(rf"(^|[._-]){re.escape(name)}", flags=re.IGNORECASE)
    near = [other for other, value in alike.items() if value >= least or (len(name) > 1 and part.search(other))]
    nearest = sorted(near, key=lambda other: (-alike[other], other))[:3]
    return f"did you mean {' or '.join(nearest)}?" if nearest else ""


def unknown_name(kind: str, name: str, known: Iterable[str], *, otherwise: str = "") -> ValueError:
    """The error for a name that is not there.

    Args:
        kind: what it should be a name of.
        name: the unknown one.
        known: all names; near ones are suggested.
        otherwise: what to do where none is near; unless given, to choose one of all.
    """
    names = sorted(known)
    allowed = otherwise or f"choose one of {', '.join(names) or '(none registered)'}"
    return ValueError(f"unknown {kind} {name!r}: {did_you_mean(name, names) or allowed}")


class NamedRegistry(Registry):
    """A registry of fvcore's that fills itself and answers unknown names with near ones.

    Args:
        name: what one registered object is called in messages, e.g. "backbone".
        contract: what a registered object has to be; becomes the instance's `__doc__`.
        home: the module whose import registers kdvideo's own objects. It is imported at the first look-up.
    """

    def __init__(self, name: str, contract: str, *, home: str | None = None) -> None:
        super().__init__(name)
        self.__doc__ = contract
        self._home = home
        self._refused: dict[str, str] = {}

    def refuse(self, *names: str, reason: str) -> None:
        """Has whoever asks for one of `names` told why it is not there, instead of which names are close to it."""
        self._refused.update(dict.fromkeys(names, reason))

    def check_not_refused(self, name: str) -> None:
        """Raises the ValueError that says why `name` is not there, if it was refused."""
        if name in self._refused and name not in self:
            raise ValueError(f"there is no {self._name} {name!r}: {self._refused[name]}")

    def __contains__(self, name: str) -> bool:
        self._fill()
        return super().__contains__(name)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        self._fill()
        return super().__iter__()

    def __repr__(self) -> str:
        self._fill()
        return super().__repr__()

    __str__ = __repr__

    def get(self, name: str) -> Any:
        """Returns the object registered as `name`.

        Raises:
            ValueError: nothing is registered under that name.
        """
        self.check_not_refused(name)
        if name not in self:
            allowed = f"choose one of {', '.join(self.names()) or '(none registered)'}"
            raise unknown_name(self._name, name, self.names(), otherwise=f"{allowed}, or `import` FILE.py that has it")
        return super().get(name)

    def register_as(self, name: str) -> Callable[[T], T]:
        """Decorator that registers an object under another name than its own."""

        def register(obj: T) -> T:
            self._do_register(name, obj)
            return obj

        return register

    def own_module(self, name: str) -> str:
        """The user's module that `name` comes from; "" for kdvideo's own names, and for unknown ones."""
        module = self._obj_map[name].__module__ if name in self else "kdvideo"
        return "" if module.split(".")[0] == "kdvideo" else module

    def _fill(self) -> None:
        # No flag: importing what is there costs a microsecond, and an import in another thread is waited for. While the
        # home itself registers, it is taken as it is so far.
        if self._home:
            import_module(self._home)

    def _do_register(self, name: str, obj: Any) -> None:  # fvcore's, whose assertion does not say who has the name
        if name in self:  # fills it: ours come first, so that who takes one of our names is the one who is told
            owner = getattr(self._obj_map[name], "__module__", self._obj_map[name])
            raise ValueError(f"the {self._name} name {name!r} is taken by {owner}: register yours under another")
        super()._do_register(name, obj)

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(name for name, _ in self)


BACKBONES = NamedRegistry(
    "backbone",
    """Video backbones: callables `(*, clip_spec: ClipSpec | None, ...) -> Backbone`.

    What else they take by keyword are settings of their own: `width`, where all channels scale with the stem's.
    A backbone maps `clip[B, C, T, H, W]` (normalised float) to `feature[B, D]`; it has `forward_features(clip) ->
    map[B, D, t, h, w]`, `num_features == D` and `clip_spec`.
    """,
    home="kdvideo.models",
)
HEADS = NamedRegistry(
    "head",
    """Heads: callables `(in_features: int, **kwargs) -> nn.Module` for features whose last axis is `in_features`.""",
    home="kdvideo.models",
)
LOSSES = NamedRegistry(
    "loss",
    """Losses: `nn.Module` classes or functions that return a scalar.

    A contrastive loss is a class with `from_config(cfg, num_videos=...)` and `num_negatives` (K), called as
    `loss(z, index, negatives)` with `z[B, 2, D]` of unit length, `index[B]` the videos' numbers and `negatives[B, K]`;
    buffers are its memory.
    A distillation loss is a subclass of `kdvideo.losses.DistillationLoss`, called as `loss(student_output,
    teacher_output)` with the output that its class names: `pretext_logits[B, P]` or `feature[B, N, D]`.
    """,
    home="kdvideo.losses",
)
PRETEXTS = NamedRegistry(
    "pretext",
    """Pretext tasks: subclasses of `kdvideo.data.pretexts.base.Pretext`.

    `num_classes` labels, told apart by the head named `head`; `plan` turns draws into a label and what to do, without
    video; `apply` does it to `clips[N, C, T, H, W]`.
    """,
    home="kdvideo.data",
)
TASKS = NamedRegistry(
    "task",
    """Tasks: classes with `from_config(cfg, model, num_videos, teacher)`.

    A task is a `kdvideo.tasks.Task`: `forward(batch) -> dict` has a scalar `loss` to minimise, all else is logged;
    `trainable` is the one module that is optimised, `student` the part of it that goes to the zoo, `task_state()` what
    a checkpoint needs besides the student, `num_negatives` how many a batch has to bring along.
    """,
    home="kdvideo.tasks",
)
DATASETS = NamedRegistry(
    "dataset",
    """Datasets: callables `(root: Path, list_dir: Path | None, *, split: int, subset: Subset) -> list[VideoRecord]`.

    `list_dir` None means the dataset's usual place for its lists. A file that a list names need not be there: loading
    the videos leaves it out and says so.
    """,
    home="kdvideo.data.datasets",
)
