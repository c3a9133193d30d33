"""Writes a run's results: its last line, its facts and its zoo entry. `kdvideo zoo publish` can do it later."""

import dataclasses
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from kdvideo.config import stored_config
from kdvideo.engine.board import write_final
from kdvideo.engine.build import configured_zoo
from kdvideo.engine.checkpoint import best_weights, read_state
from kdvideo.engine.guards import writing
from kdvideo.engine.provenance import start_of
from kdvideo.engine.run import FinalResult, RunParts
from kdvideo.engine.run_folder import CHECKPOINT_NAME, FACTS_NAME, RunFolder
from kdvideo.models.spec import ModelSpec
from kdvideo.registry import BACKBONES, HEADS
from kdvideo.zoo.entry import Facts, ZooEntry, check_name
from kdvideo.zoo.folder import Zoo, accept_zoo_dir
from kdvideo.zoo.publish import publish
from kdvideo.zoo.sources import Weights

__all__ = ["publish_command", "publish_run", "write_results"]

logger = logging.getLogger("kdvideo")


def write_results(
    cfg: CfgNode, parts: RunParts, final: FinalResult, *, teachers: Sequence[Weights], folder: RunFolder
) -> ZooEntry | None:
    """Writes a run's last line and facts. With ZOO.PUBLISH_AS it also writes and returns the entry."""
    folder.append_line(final.line)
    facts = dataclasses.replace(_facts(cfg, parts, final, teachers=teachers), started=start_of(folder))
    folder.write_facts(facts)
    entry = _publish(cfg, parts, facts, folder=folder)
    with writing(folder.board):  # last, because the result does not need it
        write_final(folder, final.line)
    return entry


def _publish(cfg: CfgNode, parts: RunParts, facts: Facts, *, folder: RunFolder) -> ZooEntry | None:
    if not cfg.ZOO.PUBLISH_AS:
        logger.info("to publish it: %s", publish_command(cfg, parts.spec, folder.path))
        return None
    zoo = configured_zoo(cfg)
    entry = publish(
        parts.model,
        cfg.ZOO.PUBLISH_AS,
        zoo=zoo,
        spec=parts.spec,
        facts=facts,
        dtype=getattr(torch, cfg.ZOO.DTYPE),
        replace=cfg.ZOO.REPLACE,
    )
    logger.info("published %s in %s, sha256 %s", entry.name, zoo, entry.sha256)
    return entry


def _facts(cfg: CfgNode, parts: RunParts, final: FinalResult, *, teachers: Sequence[Weights]) -> Facts:
    """Returns a zoo entry's facts about this run, apart from the description of its network."""
    return Facts(
        metrics={name: value for name, value in final.line.items() if isinstance(value, float)},
        protocol=final.protocol,
        teacher=teachers[0].as_teacher if teachers else None,
        more_teachers=[weights.as_teacher for weights in teachers[1:]],
        dataset=f"{Path(cfg.DATA.ROOT).name} split {cfg.DATA.SPLIT}, {_count_videos(cfg, parts)}",
        config=cfg.dump(),
        source="trained with kdvideo",
        licence=cfg.ZOO.LICENCE,
        classes=list(parts.class_names),
    )


def _count_videos(cfg: CfgNode, parts: RunParts) -> str:
    number = f"{len(parts.videos)} training videos"
    if not cfg.DATA.UNLABELLED_ROOT:
        return number
    unlabelled = sum(record.class_id is None for record in parts.videos.records)
    return f"{number}, {unlabelled} of them without labels from {Path(cfg.DATA.UNLABELLED_ROOT).name}"


def publish_command(cfg: CfgNode, spec: ModelSpec, output_dir: Path) -> str:
    """Returns the command that publishes a finished run under a NAME. It imports the files of all own parts."""
    words = ["kdvideo", "zoo", "publish", str(output_dir), "--name", "NAME"]
    if cfg.ZOO.DIR:
        words += ["--zoo", cfg.ZOO.DIR]
    for file in _own_files(spec):
        words += ["--import", file]
    return shlex.join(words)


def _own_files(spec: ModelSpec) -> list[str]:
    """Returns the user's files that have registered the backbone and the head, each once."""
    head = spec.head_kwargs.get("pretext_head", "") if spec.head == "pcl_head" else spec.head
    modules = [BACKBONES.own_module(spec.backbone), HEADS.own_module(head)]
    return list(dict.fromkeys(_file_of(module) for module in modules if module))


def _file_of(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return "FILE.py" if file is None or module == "__main__" else file


@accept_zoo_dir
def publish_run(path: Path, name: str, *, zoo: Zoo, licence: str | None = None, replace: bool = False) -> ZooEntry:
    """Publishes a finished run's model, as ZOO.PUBLISH_AS would have done during the run.

    Args:
        path: the run's `checkpoint.pt`, or its folder.
        name: name of the entry.
        zoo: the zoo to publish into. It is created if it does not exist.
        licence: licence of the weights. Defaults to the run's ZOO.LICENCE.
        replace: whether an existing entry of that name may be replaced.

    Raises:
        ValueError: there is no checkpoint of a run, the run has not finished, or the name is taken.
    """
    check_name(name)
    folder = RunFolder(path if path.is_dir() else path.parent)
    if path.is_dir():
        path = next(iter(folder.checkpoints()), folder.newest)
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    checkpoint = read_state(path)
    if not {"student", "model", "config"} <= checkpoint.keys():
        raise ValueError(f"{path} is no checkpoint of a run: publish OUTPUT_DIR/{CHECKPOINT_NAME}")
    facts = folder.facts()
    if facts is None:
        raise ValueError(
            f"{folder.path / FACTS_NAME} does not exist: the run has not finished, continue it with --resume"
        )
    spec = ModelSpec.from_dict(checkpoint["model"], origin=str(path))
    model = spec.build()
    # If the run chose an epoch, that epoch has been measured.
    model.load_state_dict(best_weights(read_state(folder.best)) if folder.best.exists() else checkpoint["student"])
    return publish(
        model.eval(),
        name,
        zoo=zoo,
        spec=spec,
        facts=facts if licence is None else dataclasses.replace(facts, licence=licence),
        dtype=getattr(torch, stored_config(checkpoint["config"])["ZOO"]["DTYPE"]),
        replace=replace,
    )
