"""Rendering MODEL_ZOO.md from the entries of a zoo."""

import re

from kdvideo.foreign import printable
from kdvideo.tables import markdown_table
from kdvideo.zoo.entry import Teacher, ZooEntry
from kdvideo.zoo.licences import forbids_commerce, teacher_licence

__all__ = ["render_catalogue"]

_HEADER = """# Model zoo

Rendered from `entries/*.json`; do not edit by hand.

Load one with `kdvideo.create_model(NAME, pretrained=True)`, teach from one with `TEACHER.WEIGHTS kdvideo://NAME`. What
is not on this machine is fetched; `kdvideo zoo show NAME` says all that is known of it.

Parameters and multiply-accumulates are the backbone's, for one clip of the given size.
"""
_OWN = """
## Trained with kdvideo

- **pretext**: accuracy in % of the pretext task on fixed tuples of the test videos, beside the majority class's share.
- **R@1, R@5**: share in % of test videos with a training video of their class among the 1 or 5 nearest, by the mean
  feature of a few uniform clips. Entries say how many, in `protocol`.

"""
_OWN_HEAD = ("name", "clip", "params", "MACs", "pretext (majority)", "R@1", "R@5", "teacher", "file")
_OTHERS = """
## Published by others

Metrics in % are what the publishers report; the entry's `protocol` says how they were measured. An unverified hash is
one that nobody has published: that of your first download is recorded, and compared ever after.

"""
_OTHERS_HEAD = ("name", "clip", "params", "MACs", "metrics", "hash", "licence", "file")


def render_catalogue(entries: list[ZooEntry]) -> str:
    """Renders a markdown page of these entries."""
    own = [entry for entry in entries if entry.layout == "kdvideo"]
    others = [entry for entry in entries if entry.layout != "kdvideo"]
    text = _HEADER + _OWN + markdown_table([_OWN_HEAD, *(_network(entry) + _own_cells(entry) for entry in own)])
    bound = [f"`{entry.name}`" for entry in own if any(map(forbids_commerce, map(teacher_licence, entry.teachers)))]
    if bound:
        text += f"\nNo commercial use, as the licence of the teacher forbids it: {', '.join(bound)}.\n"
    if others:
        rows = [_network(entry) + _others_cells(entry) for entry in others]
        text += _OTHERS + markdown_table([_OTHERS_HEAD, *rows])
    return text


def _text(foreign: str) -> str:
    """Escapes other people's text for a cell: Markdown, HTML, and characters that end a cell or a line."""
    line = " ".join(printable(foreign).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", line)


def _network(entry: ZooEntry) -> tuple[str, ...]:
    spec = entry.model.clip_spec
    return (
        f"`{entry.name}`",
        f"{spec.clip_len} x {spec.size}², {spec.modality}",
        f"{entry.params / 1e6:.2f} M",
        f"{entry.macs / 1e9:.2f} G",
    )


def _own_cells(entry: ZooEntry) -> tuple[str, ...]:
    metrics = entry.metrics
    return (
        f"{_percent(metrics.get('pretext_accuracy'))} ({_percent(metrics.get('majority_share'))})",
        _percent(metrics.get("retrieval_at_1")),
        _percent(metrics.get("retrieval_at_5")),
        "; ".join(map(_teacher, entry.teachers)) or "-",
        f"`{entry.file}`",
    )


def _others_cells(entry: ZooEntry) -> tuple[str, ...]:
    metrics = ", ".join(f"{_text(name.replace('_', ' '))} {_percent(value)}" for name, value in entry.metrics.items())
    return (
        metrics or "-",
        "verified" if entry.is_verified else f"{entry.sha256}, unverified" if entry.sha256 else "unverified",
        _text(entry.licence),
        _link(entry.file, entry.urls[0]) if entry.urls else f"{_text(entry.file)} (by hand)",
    )


def _teacher(teacher: Teacher) -> str:
    """Formats a teacher for a cell. A zoo name is code, anything else text; hash and licence follow."""
    name, licence = teacher["name"], teacher_licence(teacher)
    known = re.fullmatch(r"[\w.+:/@-]+", name, flags=re.ASCII)
    cell = f"{f'`{name}`' if known else _text(name)} {_text(teacher['sha256'][:8])}"
    return f"{cell}, {_text(licence)}" if licence else cell


def _link(file: str, address: str) -> str:
    """Formats an address for a cell. It is a link if a browser fetches it, else text."""
    is_link = re.fullmatch(r"https?://[\w.~:/?#@!$&'*+,;=%-]+", address, flags=re.ASCII)
    return f"[{_text(file)}]({address})" if is_link else _text(file)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
