"""The registries in which kdvideo finds its parts by name. Each registry has its contract in `__doc__`.

A registry imports its home, the package that fills it, at the first look-up. So nobody needs an import only for its
side effect.
"""

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
    "HOOKS",
    "LOSSES",
    "OPTIMIZERS",
    "PRETEXTS",
    "SCHEDULES",
    "TASKS",
    "NamedRegistry",
    "did_you_mean",
    "unknown_name",
]

T = TypeVar("T")
_NEAR, _HARDLY_LESS = 0.6, 0.1  # similarities by difflib's ratio


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns "did you mean ..?" with up to three near names, or "".

    A name is near if one of its parts begins with `name`, or if its spelling is nearly as similar as the best one's.
    Case does not count.
    """
    alike = {other: SequenceMatcher(None, name.lower(), other.lower()).ratio() for other in known}
    least = max(_NEAR, max(alike.values(), default=0.0) - _HARDLY_LESS)
    part = re.compile(rf"(^|[._-]){re.escape(name)}", flags=re.IGNORECASE)
    near = [other for other, value in alike.items() if value >= least or (len(name) > 1 and part.search(other))]
    nearest = sorted(near, key=lambda other: (-alike[other], other))[:3]
    return f"did you mean {' or '.join(nearest)}?" if nearest else ""


def unknown_name(kind: str, name: str, known: Iterable[str], *, otherwise: str = "") -> ValueError:
    """Returns the error for an unknown name.

    Args:
        kind: what the name should be a name of.
        name: the unknown name.
        known: all known names. Near ones are suggested.
        otherwise: what to do if no name is near. Defaults to choosing one of all names.
    """
    names = sorted(known)
    allowed = otherwise or f"choose one of {', '.join(names) or '(none registered)'}"
    return ValueError(f"unknown {kind} {name!r}: {did_you_mean(name, names) or allowed}")


class NamedRegistry(Registry):
    """A registry of fvcore's type that fills itself. For an unknown name, it suggests near ones.

    Args:
        name: the word for one registered object in messages, e.g. "backbone".
        contract: the requirements for a registered object. It becomes the instance's `__doc__`.
        home: the module whose import registers kdvideo's own objects. It is imported at the first look-up.
    """

    def __init__(self, name: str, contract: str, *, home: str | None = None) -> None:
        super().__init__(name)
        self.__doc__ = contract
        self._home = home
        self._refused: dict[str, str] = {}
        self._unlisted: set[str] = set()

    def refuse(self, *names: str, reason: str) -> None:
        """Declares why `names` are missing. A look-up of one of them gives this reason."""
        self._refused.update(dict.fromkeys(names, reason))

    def check_not_refused(self, name: str) -> None:
        """Raises a ValueError with the reason if `name` was refused."""
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

    def register_as(self, name: str, *, listed: bool = True) -> Callable[[T], T]:
        """Returns a decorator that registers an object as `name`.

        Args:
            name: the name.
            listed: whether `names` has it. A builder that needs a checkpoint's own config is no choice by itself.
        """

        def register(obj: T) -> T:
            self._do_register(name, obj)
            if not listed:
                self._unlisted.add(name)
            return obj

        return register

    def own_module(self, name: str) -> str:
        """Returns the user's module that registered `name`, or "".

        It is "" for kdvideo's own names and for unknown ones.
        """
        module = self._obj_map[name].__module__ if name in self else "kdvideo"
        return "" if module.split(".")[0] == "kdvideo" else module

    def _fill(self) -> None:
        # No flag: importing a loaded module costs a microsecond, and waits for an import in another thread. While the
        # home itself registers, the registry is used with its contents so far.
        if self._home:
            import_module(self._home)

    def _do_register(self, name: str, obj: Any) -> None:  # fvcore's assertion does not say who has the name
        if name in self:  # fills it: our names come first, so the error goes to whoever takes one of ours
            owner = getattr(self._obj_map[name], "__module__", self._obj_map[name])
            raise ValueError(f"the {self._name} name {name!r} is taken by {owner}: register yours under another")
        super()._do_register(name, obj)

    def names(self) -> list[str]:
        """Returns all registered names, sorted, without those that are not listed."""
        return sorted(name for name, _ in self if name not in self._unlisted)


BACKBONES = NamedRegistry(
    "backbone",
    """Video backbones: callables `(*, clip_spec: ClipSpec | None, ...) -> Backbone`.

    Other keywords are options of their own, e.g. `width` if all channels scale with the stem's.
    A backbone maps `clip[B, C, T, H, W]` (normalised float) to `feature[B, D]`; it has `forward_features(clip) ->
    map[B, D, t, h, w]`, `num_features == D` and `clip_spec`.
    """,
    home="kdvideo.models",
)
HEADS = NamedRegistry(
    "head",
    """Heads: callables `(in_features: int, *, ...) -> nn.Module` for features of that length.

    A pretext head takes `num_classes` and `tuple_len`, keeps them as attributes, and maps `features[B, N, D]` to
    `logits[B, num_classes]`. A pretext names it as its `head`. A classifier takes `num_classes` and maps
    `feature[B, D]` to `logits[B, num_classes]`; a `ModelSpec` may name it. Both are tried when they are built.
    """,
    home="kdvideo.models",
)
LOSSES = NamedRegistry(
    "loss",
    """Losses: `nn.Module` classes or functions that return a scalar.

    A contrastive loss has what `kdvideo.losses.ContrastiveLoss` has: `from_config(cfg, num_videos=...)` and
    `num_negatives` (K). It is called as `loss(z, index, negatives)` with `z[B, 2, E]` of unit length, the videos'
    numbers `index[B]` and `negatives[B, K]`; its buffers are its memory.
    A distillation loss is a subclass of `kdvideo.losses.DistillationLoss`, called as `loss(student_output,
    teacher_output)` with the output that its class names: `feature[B, N, D]`, the map `tokens[B, N, D, t, h, w]`, or
    `pretext_logits[B, P]`. In runs that learn classes, the last are class logits `[B * N, K]`.
    A contrastive loss from outside kdvideo is tried on two tuples when it is built.
    """,
    home="kdvideo.losses",
)
PRETEXTS = NamedRegistry(
    "pretext",
    """Pretext tasks: subclasses of `kdvideo.data.pretexts.base.Pretext`.

    A pretext has `num_classes` labels, which the head named `head` tells apart. `plan` turns draws into a label and an
    operation without reading video; `apply` applies the operation to `clips[N, C, T, H, W]`.
    """,
    home="kdvideo.data",
)
TASKS = NamedRegistry(
    "task",
    """Tasks: subclasses of `kdvideo.tasks.Task` with `from_config(cfg, *, model, num_videos, teacher)`.

    `forward(batch) -> dict` gives a scalar `loss` to minimise; all else is logged. `trainable` is the one module that
    is optimised, `student` is the part of it that goes to the zoo. `task_state()` gives what a checkpoint needs besides
    the student; `num_negatives` says how many negatives a batch has to bring along. `needs`, a
    `kdvideo.tasks.Needs`, says what it needs of data and teachers, and what else `from_config` takes.
    """,
    home="kdvideo.tasks",
)
DATASETS = NamedRegistry(
    "dataset",
    """Datasets: callables `(root: Path, list_dir: Path | None, *, split: int, subset: Subset) -> list[VideoRecord]`.

    `list_dir` None stands for the dataset's usual place for its lists. A listed file need not exist: loading the videos
    leaves it out and says so. A record has the file's `path`, a `name` that no other one has, and a `class_id` from 0
    on (None without labels), with the class's own `class_name` if it has one. Every record is checked.
    """,
    home="kdvideo.data.datasets",
)
OPTIMIZERS = NamedRegistry(
    "optimizer",
    """Optimizers: callables `(groups, *, cfg, fused: bool | None) -> torch.optim.Optimizer`.

    `groups` is a list of parameter groups with `params`, `lr` and `lr_scale`, and has to be given to the optimizer as
    it is. `fused` is True if all parameters are on a GPU; an optimizer that cannot use it may ignore it. Other settings
    are those of SOLVER, or of a section of your own.
    """,
    home="kdvideo.engine.optim",
)
SCHEDULES = NamedRegistry(
    "schedule",
    """Schedules: callables `(cfg, optimizer, *, metric: str) -> kdvideo.engine.optim.Schedule`.

    `Schedule(function)` is enough for a rate that depends on progress alone: `function` maps the finished share of the
    run, in [0, 1), to the base rate. `metric` names the metric of held-out videos, for schedules that observe it.
    SOLVER.WARMUP is theirs to read.
    """,
    home="kdvideo.engine.optim",
)
HOOKS = NamedRegistry(
    "hook",
    """Hooks: callables `(cfg, *, folder: RunFolder) -> kdvideo.engine.trainer.Hook`, which SOLVER.HOOKS names.

    They are called on every rank before the first step, and run after kdvideo's own hooks in SOLVER.HOOKS's order.
    `after_epoch(trainer, metrics)` sees the epoch's metrics line, `after_step(trainer, scalars)` the step's numbers.
    What writes asks `kdvideo.distributed.is_main()`. `close()` is called at the end, also if an error ends the run.
    """,
)
