"""Defines what a study is, and plans the runs that it consists of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from kdvideo.config import load_config, merge_config
from kdvideo.study.grid import Point

__all__ = ["Setting", "Study", "StudyRun", "build_config", "plan_runs", "select_seeds"]


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
        grid_keys: the config keys that a grid gives, dotted.
    """

    name: str
    teacher_epochs: int
    config: Mapping[str, Any]
    pairs: Sequence[tuple[str, str]]
    fractions: Sequence[float] = ()
    fraction_pairs: Sequence[tuple[str, str]] = ()
    grid_keys: Sequence[str] = ()


@dataclass(frozen=True)
class Study:
    """Students and teachers of several architectures, with the same networks trained alone as baselines; or a sweep.

    A sweep has a grid and no settings. Its runs are independent: each learns as the base, the config and a point say.

    Attributes:
        base: the config file that all runs begin with.
        config: config keys of all runs, nested.
        architectures: registered backbones. A sweep without any has that of its config.
        seeds: the runs' seeds.
        epochs: number of epochs for baselines and students. 0 in a sweep: as its config says.
        settings: the ways to teach, one for each point of a grid.
        controls: whether each architecture is also trained alone, for the epochs of teacher and student together.
        held_out_groups: recording groups of UCF101's training list that replace the test list, to choose a setting by.
            If empty, the official lists are used.
        seed_order: all seeds of the file. A student's teacher has the next one, so that they share neither initial
            weights nor samples.
        points: the grid's points, if it is a sweep.
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
    points: Sequence[Point] = ()

    def teacher_seed(self, seed: int) -> int:
        """Returns the seed of the teachers of a seed's students."""
        return self.seed_order[(self.seed_order.index(seed) + 1) % len(self.seed_order)]


@dataclass(frozen=True)
class StudyRun:
    """One run of a study.

    Attributes:
        name: the run's name, and its folder's.
        student: the network's architecture. "" for that of the config.
        seed: the run's seed.
        epochs: number of epochs to train. 0 for that of the config.
        config: config keys besides those of the study, nested.
        setting: the name of the way to teach. "" if it is trained alone.
        teacher: the teacher's architecture, or "".
        fraction: the part of the training list that is used. 0 for that of the config.
        teacher_run: the run whose network is the teacher, or "".
        continues: the shorter run that this one continues, or "".
        grid_keys: the config keys that a grid gives, dotted.
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
    grid_keys: Sequence[str] = ()

    @property
    def after(self) -> tuple[str, ...]:
        """The runs that must be finished before it."""
        return tuple(name for name in (self.teacher_run, self.continues) if name)


def select_seeds(study: Study, seeds: Sequence[int]) -> Study:
    """Returns the study of some of its seeds. Their runs are the same, and teachers of other seeds are among them.

    Raises:
        ValueError: the study has no such seed, or none is left.
    """
    unknown = set(seeds) - set(study.seeds)
    if unknown or not seeds:
        raise ValueError(f"`seeds` are {list(seeds)}; choose of {list(study.seeds)}, the study's")
    return replace(study, seeds=[seed for seed in study.seeds if seed in seeds])


def plan_runs(study: Study) -> list[StudyRun]:
    """Lists all runs in the order of training.

    A run comes after those that it needs, and the most informative runs come early.
    """
    planned = _sweep(study) if study.points else _plan(study)
    runs = {run.name: run for run in planned}  # runs that two settings share appear only once
    return list(runs.values())


def _sweep(study: Study) -> Iterator[StudyRun]:
    for seed in study.seeds:
        for student in study.architectures or [""]:
            for point in study.points:
                parts = [point.name, *([student] if student else []), f"seed{seed}"]
                yield StudyRun(
                    name=".".join(parts),
                    student=student,
                    seed=seed,
                    epochs=study.epochs,
                    config=point.config,
                    fraction=0.0,
                    grid_keys=tuple(point.config),
                )


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
        grid_keys=setting.grid_keys,
    )


def build_config(study: Study, run: StudyRun) -> CfgNode:
    """Builds a run's config.

    It lacks the paths of data, output and teacher. It publishes nothing, because all runs would have the base's name.

    Raises:
        ValueError: a key does not exist, or a value has the wrong type, or the study asks for a publication.
    """
    cfg = load_config(study.base)
    cfg.ZOO.PUBLISH_AS, cfg.ZOO.REPLACE = "", False
    merge_config(cfg, study.config, origin="CONFIG of the study")
    merge_config(cfg, run.config, origin=f"CONFIG of setting {run.setting}" if run.setting else "GRID")
    if cfg.ZOO.PUBLISH_AS:
        raise ValueError(
            f"ZOO.PUBLISH_AS is {cfg.ZOO.PUBLISH_AS!r}, but the runs of a study are not published: leave it out, and "
            "publish one by `kdvideo zoo publish OUTPUT/runs/NAME --name NAME`"
        )
    cfg.SEED = run.seed
    cfg.MODEL.BACKBONE = run.student or cfg.MODEL.BACKBONE
    cfg.SOLVER.EPOCHS = run.epochs or cfg.SOLVER.EPOCHS
    cfg.DATA.FRACTION = run.fraction or cfg.DATA.FRACTION
    return cfg
