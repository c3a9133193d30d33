"""A zoo entry: everything that is known about a model, which is enough to build it and to check its file."""

import re
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NotRequired, Self, TypedDict

import simplejson
from torchvision.models import get_weight

from kdvideo.config import flatten_config, parse_config
from kdvideo.foreign import check_fields, parse_json
from kdvideo.models.spec import ModelSpec
from kdvideo.registry import BACKBONES

__all__ = ["WEIGHTS_SUFFIXES", "Facts", "Start", "Teacher", "ZooEntry", "check_file", "check_name"]

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".pyth", ".tar", ".pickle", ".pkl")

_SHA256 = re.compile(r"[0-9a-f]{8,64}")
# It must be valid as a file name on every system, in an address and in a markdown table. It must not look like an
# option or a hidden file.
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .()+=@,~-]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(\.[A-Za-z0-9_+-]+)*")


def check_name(name: str) -> str:
    """Returns the name if an entry can have it. Names become file names, and must not lead elsewhere.

    Raises:
        ValueError: it has other characters than letters, digits, `_`, `+`, `-` and single dots between them, or means
            an architecture or a file.
    """
    if name in BACKBONES or name.endswith(WEIGHTS_SUFFIXES):
        raise ValueError(f"{name!r} is no zoo name: it would be taken for an architecture or a file")
    if not _NAME.fullmatch(name) or len(name) > 150:
        raise ValueError(
            f"{name!r} is no zoo name: use letters, digits, '_', '+', '-' and single dots, "
            "e.g. r3d_10_w16.pcl-vcp_ucf101-s1"
        )
    return name


class Teacher(TypedDict):
    """The teacher of a model: a zoo name, a pinned repository or a file, and the hash and licence of its weights.

    Entries have no `licence` where nothing states one, and if they are older than that key.
    """

    name: str
    sha256: str
    licence: NotRequired[str]


class Start(TypedDict):
    """How a run was started. Together with its config, it is what the run can be repeated with.

    Attributes:
        command: the user's command, as a shell takes it.
        ranks: the number of processes.
        threads: the number of threads of each process.
        device: "cpu", or the GPU's name.
        kdvideo: the version of kdvideo.
        git: the commit of kdvideo's checkout, and whether it had other changes. "" if it was installed otherwise.
        torch: the version of torch.
    """

    command: str
    ranks: int
    threads: int
    device: str
    kdvideo: str
    git: str
    torch: str


@dataclass(frozen=True)
class Facts:
    """The contents of an entry besides network and file.

    A finished run stores it as `facts.json`.

    Attributes:
        metrics: measured or reported values. Accuracies lie in [0, 1].
        protocol: how they were measured, in words, and by whom if that was not kdvideo.
        teacher: the model's teacher, or None.
        dataset: the training data, e.g. "ucf101-mini split 1".
        config: the resolved training config as yaml.
        source: where the weights come from.
        licence: the licence of the weights.
        classes: the classifier's class names in the order of its outputs. Empty if unknown.
        more_teachers: the second and later teachers, if it had several.
        started: how the run was started. None if that was not recorded, or there was no run.
    """

    metrics: dict[str, float]
    protocol: str
    teacher: Teacher | None
    dataset: str
    config: str
    source: str
    licence: str
    classes: list[str] = field(default_factory=list)
    more_teachers: list[Teacher] = field(default_factory=list)
    started: Start | None = None

    def to_json(self) -> str:
        """Returns readable JSON, keys in the order of the attributes."""
        return simplejson.dumps(_without_empty(asdict(self)), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: it is no JSON, or has other keys or types. `origin` says where it was found.
        """
        return cls(**_parse(text, cls, what=f"{origin} holds no facts of a run"))


@dataclass(frozen=True)
class ZooEntry:
    """One published model, stored as `entries/{name}.json`.

    Attributes:
        name: `{arch}[_w{width}].{method}[-{pretext}][-from-{teacher}]_{dataset}-s{split}[.{loss}][.seed{n}]`.
        model: how the model is built.
        file: the name of the weights file, in `weights/` or where its publisher has it.
        sha256: the file's hash, or its first digits (at least 8). None if the publisher gives none.
        params: the number of parameters of the backbone.
        macs: multiply-accumulates of the backbone for one clip.
        metrics: see `Facts`, as the other keys that both have.
        protocol: see `Facts`.
        teacher: see `Facts`.
        dataset: see `Facts`.
        config: see `Facts`.
        source: see `Facts`.
        licence: see `Facts`.
        date: the day of publication, YYYY-MM-DD.
        kdvideo_version: the version of kdvideo that wrote the entry.
        urls: addresses of the file.
        size: the file's size in bytes. None if the publisher does not say.
        layout: how its tensors are named: "kdvideo", or one of `kdvideo.zoo.formats.LAYOUTS`.
        manual: the steps to get the file by hand, in words, if no program can fetch it.
        classes: see `Facts`.
        more_teachers: see `Facts`.
        started: see `Facts`.
    """

    name: str
    model: ModelSpec
    file: str
    sha256: str | None
    params: int
    macs: int
    metrics: dict[str, float]
    protocol: str
    teacher: Teacher | None
    dataset: str
    config: str
    source: str
    licence: str
    date: str
    kdvideo_version: str
    urls: list[str] = field(default_factory=list)
    size: int | None = None
    layout: str = "kdvideo"
    manual: str = ""
    classes: list[str] = field(default_factory=list)
    more_teachers: list[Teacher] = field(default_factory=list)
    started: Start | None = None

    @property
    def teachers(self) -> list[Teacher]:
        """All teachers of the model."""
        return [*([self.teacher] if self.teacher else []), *self.more_teachers]

    @property
    def is_verified(self) -> bool:
        """Whether the publisher's whole hash is known."""
        return self.sha256 is not None and len(self.sha256) == 64

    @property
    def class_names(self) -> list[str]:
        """Returns `classes`, or torchvision's list for other people's classifiers of Kinetics-400.

        Their files name no classes. All of them number the classes in alphabetical order.
        """
        is_kinetics = self.dataset.startswith("Kinetics-400, 400 classes")
        if self.classes or not is_kinetics or self.model.head_kwargs.get("num_classes") != 400:
            return self.classes
        return list(get_weight("R3D_18_Weights.KINETICS400_V1").meta["categories"])

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The training config as dotted keys.

        Empty if other people trained the model.
        """
        try:
            return flatten_config(parse_config(self.config))
        except ValueError as error:
            raise ValueError(f"the config of the entry {self.name} is no valid yaml: {error}") from None

    def to_json(self) -> str:
        """Returns readable JSON, keys in the order of the attributes."""
        return simplejson.dumps({**_without_empty(asdict(self)), "model": self.model.to_dict()}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: it is no JSON, or has other keys, types or values. `origin` says where it was found.
        """
        values = _parse(text, cls, what=f"{origin} is no zoo entry")
        check_name(values["name"])
        check_file(values["file"], origin=origin)
        if values["sha256"] is not None and not _SHA256.fullmatch(values["sha256"]):
            raise ValueError(f"{origin} is no zoo entry: sha256 is {values['sha256']!r}, it must be 8 to 64 hex digits")
        return cls(**{**values, "model": ModelSpec.from_dict(values["model"], origin=origin)})


def check_file(file: str, *, origin: str) -> str:
    """Returns the name of a weights file if it is plain. It becomes a path in the zoo and part of addresses.

    Raises:
        ValueError: it may lead elsewhere or has another ending than weights. `origin` says where it was found.
    """
    if not _FILE.fullmatch(file) or not file.endswith(WEIGHTS_SUFFIXES) or len(file) > 200:
        raise ValueError(
            f"{origin} names a file outside its zoo, or none of weights: {file[:220]!r}; it must be a plain name of "
            f"letters, digits and punctuation that ends in {' or '.join(WEIGHTS_SUFFIXES)}"
        )
    return file


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what later versions have added where there is none, so that earlier versions read the entry."""
    return {key: value for key, value in values.items() if key not in ("more_teachers", "started") or value}


def _parse(text: str, kind: type, *, what: str) -> dict[str, Any]:
    """Parses and checks the values of a dataclass. They come from other people."""
    try:
        values = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    check_fields(values, kind, what=what)
    return values
