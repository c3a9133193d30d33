"""The output of `kdvideo zoo list`: one line per model, and a legend."""

import textwrap
from collections.abc import Sequence

from kdvideo.evaluation.metrics import parse_metric
from kdvideo.foreign import printable
from kdvideo.zoo.manage import EntryState

__all__ = ["list_architectures", "list_states"]

_COLUMNS = 100
_NAME = 40  # width in columns; a longer name, as of students with their teacher's name, shifts only its own line
_WEIGHTS = {
    "shipped": "comes with kdvideo",
    "published": "in its zoo on this machine",
    "fetched": "downloaded before",
    "to fetch": "`kdvideo zoo fetch NAME` or the first use downloads it",
    "by hand": "`kdvideo zoo fetch NAME` says how to get it",
    "missing": "neither a file nor an address",
}
_HASHES = {
    "verified": "by its publisher's whole hash",
    "recorded": "its publisher gives none, the first download's is compared",
    "unverified": "its publisher gives none, the first download's will be recorded",
}
_SHORT = {"pretext_accuracy": "pretext", "retrieval_at_1": "R@1"}


def list_states(states: Sequence[EntryState]) -> list[str]:
    """Lists a header, the models with their teachers, and a legend of the words in use; [] without models."""
    if not states:
        return []
    width = min(_NAME, max(len("name"), *(len(state.entry.name) for state in states)))
    lines = [f"{'name':<{width}}  {'weights':<9}  {'hash':<10}  {'params':>7}  metrics in %"]
    for state in states:
        entry = state.entry
        params = f"{entry.params / 1e6:.2f} M"
        line = f"{entry.name:<{width}}  {state.weights:<9}  {state.hash_state:<10}  {params:>7}  "
        lines.append((line + _scores(entry.metrics, _COLUMNS - len(line))).rstrip())
        if entry.teachers:
            lines.append(f"  taught by {' and '.join(teacher['name'] for teacher in entry.teachers)}")
    lines.append("")
    lines += _legend("weights", _WEIGHTS, {state.weights for state in states})
    lines += _legend("hash", _HASHES, {state.hash_state for state in states})
    return [printable(line).replace("\n", "\\n") for line in lines]  # other people wrote the entries


def list_architectures(names: Sequence[str]) -> list[str]:
    """Lists the names that have no weights, several per line; [] without names."""
    return _filled(f"architectures: {', '.join(names)}") if names else []


def _scores(metrics: dict[str, float], columns: int) -> str:
    """Returns the first two scores if they fit, else the first one."""
    scores = [
        f"{_SHORT.get(name, name.replace('_', ' '))} {100 * value:.1f}"
        for name, value in metrics.items()
        if parse_metric(name).is_score
    ]
    both = ", ".join(scores[:2])
    return both if len(both) <= columns or not scores else scores[0]


def _legend(column: str, meanings: dict[str, str], used: set[str]) -> list[str]:
    return _filled(f"{column}: {'; '.join(f'{word} - {meanings[word]}' for word in meanings if word in used)}")


def _filled(text: str) -> list[str]:
    return textwrap.wrap(text, _COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
