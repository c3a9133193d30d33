"""The files of a run: their names, and how to read and write each of them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import simplejson
from fvcore.common.config import CfgNode

from kdvideo.config import dump_config, parse_config
from kdvideo.engine.guards import writing
from kdvideo.files import is_locked, write_text
from kdvideo.foreign import parse_json, read_text
from kdvideo.zoo.entry import Facts
from kdvideo.zoo.names_of_sources import BEST_NAME, CHECKPOINT_NAME

__all__ = ["BEST_NAME", "BOARD_NAME", "CHECKPOINT_NAME", "FACTS_NAME", "METRICS_NAME", "RunFolder"]

METRICS_NAME = "metrics.jsonl"  # one line per epoch, and a final line
FACTS_NAME = "facts.json"  # the facts for the zoo entry of a finished run
BOARD_NAME = "tensorboard"
_CONFIG_NAME, _ENVIRONMENT_NAME, _LOG_NAME, _LOCK_NAME = "config.yaml", "environment.json", "log.txt", ".lock"
_MOST_BYTES = 256 << 20  # largest size of a run's metrics, enough for a million epochs


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, OUTPUT_DIR.

    Args:
        path: the folder, which need not exist yet.
    """

    path: Path

    @classmethod
    def find_all(cls, root: Path) -> list[Self]:
        """Returns the folders of all runs in or below a folder, sorted by path. A run in its first epoch is one."""
        files = [path for name in (METRICS_NAME, _ENVIRONMENT_NAME) for path in root.rglob(name)]
        return [cls(path) for path in sorted({path.parent for path in files})]

    @property
    def log(self) -> Path:
        """The file of the run's log."""
        return self.path / _LOG_NAME

    @property
    def lock(self) -> Path:
        """The file that a running run keeps locked."""
        return self.path / _LOCK_NAME

    @property
    def board(self) -> Path:
        """The folder of TensorBoard's files."""
        return self.path / BOARD_NAME

    @property
    def best(self) -> Path:
        """The student of the best epoch."""
        return self.path / BEST_NAME

    @property
    def newest(self) -> Path:
        """The file of the newest checkpoint."""
        return self.path / CHECKPOINT_NAME

    @property
    def metrics(self) -> Path:
        """The file of the metrics lines."""
        return self.path / METRICS_NAME

    def older(self, age: int) -> Path:
        """Returns the path of the checkpoint that is `age` checkpoints older than the newest."""
        return self.path / f"checkpoint.{age}.pt"

    def checkpoints(self) -> list[Path]:
        """Returns the existing checkpoints, the newest first."""
        older = [path for path in self.path.glob("checkpoint.*.pt") if _age(path).isdigit()]
        return [self.newest] * self.newest.exists() + sorted(older, key=lambda path: int(_age(path)))

    def config(self) -> dict[str, Any]:
        """Returns the run's resolved config as nested sections. Empty if there is none.

        Raises:
            ValueError: the file is not a config.
        """
        path = self.path / _CONFIG_NAME
        if not path.is_file():
            return {}
        try:
            return parse_config(read_text(path))
        except ValueError as error:
            raise ValueError(f"{path} is no config: {error}") from None

    def write_config(self, cfg: CfgNode) -> None:
        """Writes the run's resolved config as yaml."""
        dump_config(cfg, self.path / _CONFIG_NAME)

    def write_environment(self, values: Mapping[str, Any]) -> None:
        """Writes the settings with which the run was started, apart from its config."""
        write_text(self.path / _ENVIRONMENT_NAME, simplejson.dumps(values, indent=2) + "\n")

    def environment(self) -> dict[str, Any]:
        """Returns what `write_environment` wrote. Empty if it did not, or the file is damaged."""
        path = self.path / _ENVIRONMENT_NAME
        try:
            values = parse_json(read_text(path))
        except ValueError:
            return {}
        return values if isinstance(values, dict) else {}

    def epochs(self) -> list[dict[str, Any]]:
        """Returns the metrics of each epoch that has a line.

        Raises:
            ValueError: there are no metrics, or they cannot be read.
        """
        return [line for _, line in self._lines() if _is_epoch(line)]

    def final(self) -> dict[str, Any] | None:
        """Returns the run's last line. None if the run has not been measured to its end.

        Raises:
            ValueError: there are no metrics, or they cannot be read.
        """
        return next((line for _, line in self._lines() if "final" in line), None)

    def append_line(self, metrics: Mapping[str, Any]) -> None:
        """Appends one metrics line durably: it survives a power cut."""
        with writing(self.metrics), self.metrics.open("a", encoding="utf-8") as stream:
            stream.write(simplejson.dumps(metrics) + "\n")
            stream.flush()
            os.fsync(stream.fileno())  # the following checkpoint is durable, so its line has to be, too

    def keep_epochs(self, last: int) -> None:
        """Drops the final line and the lines of epochs after `last`, because a resumed run writes them again."""
        if self.metrics.exists():
            self._write_lines(text for text, line in self._lines() if _is_epoch(line) and line["epoch"] <= last)

    def copy_epochs(self, source: "RunFolder") -> None:
        """Copies another run's lines except the final one. The run continues from there."""
        self._write_lines(text for text, line in source._lines() if _is_epoch(line))

    def facts(self) -> Facts | None:
        """Returns the facts for the run's zoo entry. None until the run has finished.

        Raises:
            ValueError: the file holds something else.
        """
        path = self.path / FACTS_NAME
        if not path.exists():
            return None
        return Facts.from_json(read_text(path), origin=str(path))

    def write_facts(self, facts: Facts) -> None:
        """Writes the facts for the run's zoo entry, so that it can be published later. The run is then finished."""
        path = self.path / FACTS_NAME
        with writing(path):
            write_text(path, facts.to_json())

    @property
    def is_finished(self) -> bool:
        """Whether the run was measured to its end."""
        return (self.path / FACTS_NAME).exists()

    @property
    def state(self) -> str:
        """The run's state: "running", "finished" or "interrupted". `--resume` continues the last."""
        if self.lock.exists() and is_locked(self.lock):
            return "running"
        return "finished" if self.is_finished else "interrupted"

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields each complete metrics line as text and as a mapping.

        A kill may have cut a line short. It is left out, because its epoch has no checkpoint and is repeated.
        """
        for text in read_text(self.metrics, most_bytes=_MOST_BYTES).splitlines():
            try:
                line = parse_json(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield text, line

    def _write_lines(self, lines: Iterator[str]) -> None:
        with writing(self.metrics):
            write_text(self.metrics, "".join(f"{line}\n" for line in lines))


def _is_epoch(line: Mapping[str, Any]) -> bool:
    return isinstance(line.get("epoch"), int) and "final" not in line


def _age(path: Path) -> str:
    return path.name.removeprefix("checkpoint.").removesuffix(".pt")
