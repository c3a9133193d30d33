"""Defines what a study is, and plans the runs that it consists of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from kdvideo.config import flatten_config, get_defaults, load_config, merge_config
from kdvideo.config.key import Role
from kdvideo.config.keys import keys_with_role
from kdvideo.config.shipped import find_config
from kdvideo.registry import did_you_mean

__all__ = ["Setting", "Study", "StudyRun", "plan_runs", "read_study", "select_seeds"]


@dataclass(frozen=True)
class Setting:
    """A way to teach.

    Attributes:
        name: the first part of its runs' names, e.g. "paper".
        teacher_epochs: for how many epochs a teacher has been trained alone.
        config: config keys of the students, nested.
        pairs: (student, teacher), each an architecture.
        fractions: parts of the training list on which the students of `fraction_pairs` are also trained.
        fraction_pairs: the pairs for which `fractions` are run.
    """

    name: str
    teacher_epochs: int
    config: Mapping[str, Any]
    pairs: Sequence[tuple[str, str]]
    fractions: Sequence[float] = ()
    fraction_pairs: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Study:
    """Students and teachers of several architectures, with the same networks trained alone as baselines.

    Attributes:
        base: the config file that all runs begin with.
        config: config keys of all runs, nested.
        architectures: registered backbones.
        seeds: the runs' seeds.
        epochs: number of epochs for baselines and students.
        settings: the ways to teach.
        controls: whether each architecture is also trained alone, for the epochs of teacher and student together.
        held_out_groups: recording groups of UCF101's training list that replace the test list, to choose a setting by.
            If empty, the official lists are used.
        seed_order: all seeds of the file. A student's teacher has the next one, so that they share neither initial
            weights nor samples.
    """

    base: Path
    config: Mapping[str, Any]
    architectures: Sequence[str]
    seeds: Sequence[int]
    epochs: int
    settings: Sequence[Setting]
    controls: bool = True
    held_out_groups: Sequence[int] = ()
    seed_order: Sequence[int] = ()

    def teacher_seed(self, seed: int) -> int:
        """Returns the seed of the teachers of a seed's students."""
        return self.seed_order[(self.seed_order.index(seed) + 1) % len(self.seed_order)]


@dataclass(frozen=True)
class StudyRun:
    """One run of a study.

    Attributes:
        name: the run's name, and its folder's.
        student: the network's architecture.
        seed: the run's seed.
        epochs: number of epochs to train.
        config: config keys besides those of the study, nested.
        setting: the name of the way to teach. "" if it is trained alone.
        teacher: the teacher's architecture, or "".
        fraction: the part of the training list that is used.
        teacher_run: the run whose network is the teacher, or "".
        continues: the shorter run that this one continues, or "".
    """

    name: str
    student: str
    seed: int
    epochs: int
    config: Mapping[str, Any] = field(default_factory=dict)
    setting: str = ""
    teacher: str = ""
    fraction: float = 1.0
    teacher_run: str = ""
    continues: str = ""

    @property
    def after(self) -> tuple[str, ...]:
        """The runs that must be finished before it."""
        return tuple(name for name in (self.teacher_run, self.continues) if name)


def read_study(path: Path) -> Study:
    """Reads a study's yaml file, also by the name of one of kdvideo's. Its `BASE` is relative to the file's folder.

    Raises:
        ValueError: a key is missing or unknown, a value is not allowed, or a config key does not exist.
    """
    path = find_config(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"study {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"study {path} cannot be read: {' '.join(str(error).split())}") from None
    _check_keys(values, Study, origin=str(path), given=("seed_order",))
    _check_types(values, origin=f"study {path}")
    common = {key.lower(): value for key, value in values.items()}
    architectures = common["architectures"]
    common["base"] = path.parent / common["base"]
    common["settings"] = [
        _read_setting(name, setting, architectures, origin=f"{path}, SETTINGS.{name}")
        for name, setting in common["settings"].items()
    ]
    study = Study(**common, seed_order=tuple(common["seeds"]))
    if study.epochs < 3 or len(set(study.seeds)) < len(study.seeds):
        raise ValueError(
            f"study {path}: EPOCHS is {study.epochs} and SEEDS {study.seeds}; at least 3, and no seed twice"
        )
    for run in plan_runs(study):
        _check_comparable(build_config(study, run), origin=f"study {path}, {run.name}")
    return study


def select_seeds(study: Study, seeds: Sequence[int]) -> Study:
    """Returns the study of some of its seeds. Their runs are the same, and teachers of other seeds are among them.

    Raises:
        ValueError: the study has no such seed, or none is left.
    """
    unknown = set(seeds) - set(study.seeds)
    if unknown or not seeds:
        raise ValueError(f"`seeds` are {list(seeds)}; choose of {list(study.seeds)}, the study's")
    return replace(study, seeds=[seed for seed in study.seeds if seed in seeds])


def _check_comparable(cfg: CfgNode, *, origin: str) -> None:
    """Checks that a run can be continued and compared."""
    values, defaults = flatten_config(cfg), flatten_config(get_defaults())
    for key in keys_with_role(Role.STUDY_DEFAULT):
        if values[key] != defaults[key]:
            raise ValueError(f"{origin}: {key} is {values[key]!r}; a study needs {defaults[key]!r}")


def _check_types(values: Mapping[str, Any], *, origin: str) -> None:
    wanted = {"BASE": str, "CONFIG": dict, "ARCHITECTURES": list, "SEEDS": list, "EPOCHS": int, "SETTINGS": dict}
    for key, kind in wanted.items():
        if not isinstance(values[key], kind) or not values[key]:
            raise ValueError(f"{origin}: {key} is {values[key]!r}; it must be a {kind.__name__} that is not empty")


def _read_setting(name: str, values: Any, architectures: Sequence[str], *, origin: str) -> Setting:
    _check_keys(values, Setting, origin=origin, given=("name",), optional=("pairs",))
    lower = {key.lower(): value for key, value in values.items()}
    everyone = [(student, teacher) for teacher in architectures for student in architectures]
    for key in ("pairs", "fraction_pairs"):
        lower[key] = [tuple(pair) for pair in lower.get(key, everyone if key == "pairs" else ())]
        for pair in lower[key]:
            if pair not in everyone:
                raise ValueError(f"{origin}: {pair} of {key.upper()} must be [STUDENT, TEACHER] of {architectures}")
    return Setting(name=name, **lower)


def _check_keys(
    values: Any, kind: type, *, origin: str, given: Sequence[str] = (), optional: Sequence[str] = ()
) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{origin} must be a mapping of keys, not {values!r}")
    known = {one.name.upper(): one for one in fields(kind) if one.name not in given}
    for key in values:
        if key not in known:
            hint = did_you_mean(str(key), known) or f"choose one of {', '.join(known)}"
            raise ValueError(f"{origin}: unknown key {key!r}: {hint}")
    for key, one in known.items():
        if key not in values and one.default is one.default_factory and one.name not in optional:
            raise ValueError(f"{origin} has no {key}")


def plan_runs(study: Study) -> list[StudyRun]:
    """Lists all runs in the order of training.

    A run comes after those that it needs, and the most informative runs come early.
    """
    runs = {run.name: run for run in _plan(study)}  # runs that two settings share appear only once
    return list(runs.values())


def _plan(study: Study) -> Iterator[StudyRun]:
    lengths = sorted(
        {study.epochs}
        | {setting.teacher_epochs for setting in study.settings}
        | {setting.teacher_epochs + study.epochs for setting in study.settings if study.controls}
    )

    def alone(architecture: str, seed: int, epochs: int) -> StudyRun:
        shorter = [length for length in lengths if length < epochs]
        return StudyRun(
            name=_alone_name(architecture, epochs, seed),
            student=architecture,
            seed=seed,
            epochs=epochs,
            config={"TASK": {"NAME": "pcl"}},
            continues=_alone_name(architecture, shorter[-1], seed) if shorter else "",
        )

    def all_alone(epochs: int, seeds: Sequence[int]) -> Iterator[StudyRun]:
        yield from (
            alone(one, seed, length)
            for length in lengths
            if length <= epochs
            for seed in seeds
            for one in study.architectures
        )

    teachers = {study.teacher_seed(seed) for seed in study.seeds}
    yield from all_alone(study.epochs, study.seeds)
    for setting in study.settings:
        yield from all_alone(setting.teacher_epochs, [seed for seed in study.seed_order if seed in teachers])
        for seed in study.seeds:
            yield from (_taught(study, setting, pair, seed=seed) for pair in setting.pairs)
    for setting in study.settings:
        for fraction in setting.fractions:
            for seed in study.seeds:
                for pair in setting.fraction_pairs:
                    yield _alone_on_part(study, pair[0], fraction, seed=seed)
                    yield _taught(study, setting, pair, seed=seed, fraction=fraction)
    if study.controls:
        yield from all_alone(max(lengths), study.seeds)


def _alone_name(architecture: str, epochs: int, seed: int) -> str:
    return f"{architecture}.e{epochs}.seed{seed}"


def _alone_on_part(study: Study, architecture: str, fraction: float, *, seed: int) -> StudyRun:
    return StudyRun(
        name=f"{architecture}.e{study.epochs}.part{fraction}.seed{seed}",
        student=architecture,
        seed=seed,
        epochs=study.epochs,
        fraction=fraction,
        config={"TASK": {"NAME": "pcl"}},
    )


def _taught(study: Study, setting: Setting, pair: tuple[str, str], *, seed: int, fraction: float = 1.0) -> StudyRun:
    student, teacher = pair
    part = "" if fraction == 1.0 else f".part{fraction}"
    return StudyRun(
        name=f"{setting.name}.{student}-from-{teacher}{part}.seed{seed}",
        student=student,
        seed=seed,
        epochs=study.epochs,
        config={"TASK": {"NAME": "distill"}, **setting.config},
        setting=setting.name,
        teacher=teacher,
        fraction=fraction,
        teacher_run=_alone_name(teacher, setting.teacher_epochs, study.teacher_seed(seed)),
    )


def build_config(study: Study, run: StudyRun) -> CfgNode:
    """Builds a run's config.

    It lacks the paths of data, output and teacher.

    Raises:
        ValueError: a key does not exist, or a value has the wrong type.
    """
    cfg = load_config(study.base)
    merge_config(cfg, study.config, origin="CONFIG of the study")
    merge_config(cfg, run.config, origin=f"CONFIG of setting {run.setting}")
    cfg.MODEL.BACKBONE, cfg.SEED, cfg.SOLVER.EPOCHS, cfg.DATA.FRACTION = run.student, run.seed, run.epochs, run.fraction
    return cfg
