"""Writes the results of an evaluation into a zoo entry, under the right names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdvideo.config.key import Role
from kdvideo.config.keys import keys_with_role
from kdvideo.evaluation.result import Evaluation
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.record import record_metrics

__all__ = ["metrics_for_entry", "save_evaluation"]


def save_evaluation(evaluation: Evaluation, entry: ZooEntry, *, zoo: Zoo) -> ZooEntry:
    """Writes metrics and protocol into the measured entry.

    Args:
        evaluation: the results.
        entry: the model's entry, from `check_recordable`.
        zoo: the zoo of the entry.

    Raises:
        ValueError: the entry has changed meanwhile, or its protocol is a different one.
    """
    metrics, protocol = metrics_for_entry(evaluation, entry)
    return record_metrics(entry, metrics, protocol, zoo=zoo, sha256=evaluation.sha256)


def metrics_for_entry(evaluation: Evaluation, entry: ZooEntry) -> tuple[dict[str, float], str]:
    """Names the metrics as in the entry, and returns how they were measured.

    ::

        the data and split that it was trained on    knn_10clip
        other data, or another split                 UCF-101-s2/knn_10clip
        the mean over several splits                 UCF-101-mean/knn_10clip

    Raises:
        ValueError: on the entry's own data, a setting differs from its config, which the names would not show.
    """
    metrics: dict[str, float] = {}
    for result in evaluation.splits:
        prefix = "" if _is_own(evaluation, entry, result.split) else f"{evaluation.dataset}-s{result.split}/"
        metrics |= {prefix + name: share for name, share in result.metrics.items()}
    if len(evaluation.splits) > 1:
        metrics |= {f"{evaluation.dataset}-mean/{name}": share for name, share in evaluation.metrics.items()}
    return metrics, evaluation.protocol


def _is_own(evaluation: Evaluation, entry: ZooEntry, split: int) -> bool:
    """Tells whether the model was trained on this split."""
    own = entry.settings
    there = own.get("DATA.NAME"), Path(own.get("DATA.ROOT", "")).name, own.get("DATA.SPLIT")
    if there != (evaluation.settings["DATA.NAME"], evaluation.dataset, split):
        return False
    _check_settings(entry.name, own, evaluation.settings)
    return True


def _check_settings(name: str, own: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    for key in keys_with_role(Role.UNTOLD):
        if key in own and own[key] != settings[key]:
            raise ValueError(
                f"not saved: {key} was {settings[key]}, the config of {name} has {own[key]}, which its metrics are "
                "measured with: leave the key out"
            )
