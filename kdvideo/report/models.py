"""The report's table of models, with one row per zoo entry."""

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Any

from kdvideo.evaluation.metrics import parse_metric
from kdvideo.registry import BACKBONES
from kdvideo.report.runs import finite
from kdvideo.zoo.manage import EntryState
from kdvideo.zoo.sources import zoos

__all__ = ["metric_names", "model_rows"]


def model_rows(states: Sequence[EntryState]) -> list[dict[str, Any]]:
    """Returns one row of plain values per model."""
    return [_row(state) for state in states]


def metric_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lists the scores of these models.

    Scores that several of kdvideo's own models share come first, then the scores that most models have.
    """
    counts, own = Counter[str](), Counter[str]()
    for row in rows:
        counts.update(list(row["metrics"]))
        own.update(list(row["metrics"]) if row["origin"] == "kdvideo" else ())
    shared = {name: count for name, count in own.items() if count > 1}
    names = sorted(counts, key=lambda name: (-shared.get(name, 0), -counts[name], _order(name)))
    return [name for name in names if parse_metric(name).is_score]


def _order(name: str) -> tuple[bool, str]:
    return name != "pretext_accuracy", name  # next to retrieval, which the same models have


def _row(state: EntryState) -> dict[str, Any]:
    entry, spec = state.entry, state.entry.model.clip_spec
    return {
        "name": entry.name,
        "origin": "kdvideo" if entry.layout == "kdvideo" else "others",
        "backbone": entry.model.backbone,
        "clip": f"{spec.clip_len} x {spec.size}²",
        "modality": spec.modality,
        "params": entry.params / 1e6,
        "macs": entry.macs / 1e9,
        "metrics": finite(entry.metrics),
        "protocol": entry.protocol,
        "teacher": " + ".join(teacher["name"] for teacher in entry.teachers),
        "dataset": entry.dataset,
        "weights": state.weights,
        "hash": f"{entry.sha256 or 'unknown'} ({state.hash_state})",
        "licence": entry.licence,
        "source": entry.source,
        "file": entry.file,
        # Only an address that a browser can fetch becomes a link, because other people wrote the entry.
        "url": next((url for url in entry.urls if url.startswith(("https://", "http://"))), ""),
        "manual": entry.manual,
        **_commands(state),
        "unknown": "" if entry.model.backbone in BACKBONES else _unknown(entry.model.backbone),
    }


def _commands(state: EntryState) -> dict[str, str]:
    """Writes the lines that load and fetch the model.

    They also work for a zoo in which names are not looked up.
    """
    name = state.entry.name
    module = BACKBONES.own_module(state.entry.model.backbone)
    first = f"import {module}; " if module else ""
    if state.zoo in zoos():
        return {
            "load": f'{first}import kdvideo; model = kdvideo.create_model("{name}", pretrained=True)',
            "fetch": f"kdvideo zoo fetch {name}",
        }
    folder = str(state.zoo.path.resolve())
    return {
        "load": f'{first}import kdvideo; model = kdvideo.create_model("{name}", pretrained=True, zoo={folder!r})',
        "fetch": f"kdvideo zoo fetch {name} --zoo {shlex.quote(folder)}",
    }


def _unknown(backbone: str) -> str:
    whose = f"the backbone {backbone}, which is its author's own"
    return f"First import the module that registers {whose}: commands take it by --import FILE.py."
