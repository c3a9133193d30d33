"""Writes docs/config.md from the declared keys: python docs/make_config_page.py. A test compares the two."""

from pathlib import Path

from kdvideo.config.key import EachRegistered, Key, Registered
from kdvideo.config.keys import KEYS, SECTIONS
from kdvideo.registry import BACKBONES, LOSSES, NamedRegistry
from kdvideo.tables import markdown_table

PAGE = Path(__file__).with_name("config.md")
HEAD = ("key", "default", "allowed", "meaning", "also read by")
INTRODUCTION = """# Config

<!-- written by docs/make_config_page.py from kdvideo/config/keys.py -->

Every key of a run. A yaml file names another as its `_BASE_` and says what differs; `KEY VALUE` pairs on the command
line come last. An unknown key, a value of another type or out of its range ends in one line before anything is
loaded. A key takes values of its default's type. Where names are listed, those of [your own parts](extending.md) are
allowed, too, and parts may bring [keys of their own](extending.md#config-keys).

`kdvideo train` reads all keys, and so do `kdvideo.pretrain`, `distill` and `finetune` and the runs of `kdvideo
study`. The last column says which other commands read a key: `eval` is `kdvideo eval` and `kdvideo.evaluate`, `teach`
is `kdvideo teach`, `check` is `kdvideo data check`. They take the other keys without using them, so that one config
file serves all. `eval` measures weights of kdvideo with the data, split, frame size and pretext of their training;
CLIP and MODEL's network matter for networks without weights, AUGMENT for the pretext's accuracy alone.
"""
# What each command reads besides `train`, whole sections or single keys; tests/config/test_config_page.py traces it.
READERS = {
    "eval": (
        *("CLIP", "MODEL", "OUTPUT_DIR", "SEED", "ZOO.DIR", "PRETEXT", "SOLVER.DETERMINISTIC"),
        *("AUGMENT.BLUR_PROB", "AUGMENT.COLOR_PROB", "AUGMENT.COLOR_STRENGTH", "AUGMENT.FLIP_PROB"),
        *("AUGMENT.GRAYSCALE_PROB", "DATA.CACHE", "DATA.FRACTION", "DATA.LIST_DIR", "DATA.MANIFEST", "DATA.NAME"),
        *("DATA.MAX_BAD_FRACTION", "DATA.NUM_WORKERS", "DATA.ROOT", "DATA.SHORT_SIDE", "DATA.SPLIT"),
        *("DATA.TIME_LIMIT", "DATA.VALIDATION_SHARE", "EVAL.BATCH_SIZE", "EVAL.CLIPS_PER_VIDEO"),
        *("EVAL.FINAL_CLIPS_PER_VIDEO", "EVAL.TUPLES_PER_VIDEO"),
    ),
    "teach": (
        *("TASK.NAME", "TEACHERS", "TEACHER.WEIGHTS", "TEACHER.CLIP_SPEC", "TEACHER.LOSSES", "TEACHER.VIEWS"),
        *("DATA.CACHE", "DATA.LIST_DIR", "DATA.MANIFEST", "DATA.MAX_BAD_FRACTION", "DATA.NAME", "DATA.NUM_WORKERS"),
        *("DATA.ROOT", "DATA.SPLIT", "DATA.TIME_LIMIT", "DATA.UNLABELLED_ROOT", "EVAL.BATCH_SIZE", "SOLVER.AMP"),
        *("SOLVER.DETERMINISTIC", "ZOO.DIR", "PRETEXT.NAME"),
    ),
    "check": ("DATA.NAME", "DATA.ROOT", "DATA.LIST_DIR", "DATA.SPLIT"),
}


def config_page() -> str:
    """Renders every key with its default, what is allowed, what it means and which commands read it."""
    text = INTRODUCTION
    for name, section in SECTIONS.items():
        rows = [row(key) for key in KEYS if key.rpartition(".")[0] == name]
        text += f"\n## {section.title}\n\n{_sentence(section.comment)}{markdown_table([HEAD, *rows])}"
    return text


def row(name: str) -> tuple[str, ...]:
    """Returns the table's row of one key."""
    key = KEYS[name]
    cells = (f"`{name}`", f"`{key.default!r}`", allowed(name, key), key.comment, ", ".join(readers(name)))
    return tuple(cell.replace("|", "\\|") for cell in cells)


def readers(name: str) -> list[str]:
    """Returns the commands that read a key, besides `train`."""
    section = name.partition(".")[0]
    return [f"`{command}`" for command, keys in READERS.items() if name in keys or section in keys]


def allowed(name: str, key: Key) -> str:
    """Returns what is allowed for a key, in words. Registries are listed without what users have registered."""
    if name == "TEACHER.LOSSES":
        return f"a list of {_names(LOSSES, compares=True)}"
    shown = [_registered(limit) if isinstance(limit, Registered) else limit.shown for limit in key.limits]
    return ", ".join(shown) or {bool: "`True`, `False`", list: "a list", str: "text"}.get(type(key.default), "a number")


def _registered(limit: Registered) -> str:
    if limit.registry is BACKBONES:
        return "a [backbone](models.md)"
    if isinstance(limit, EachRegistered):
        return f"a list of your own {limit.registry._name}s"
    return _names(limit.registry, compares=False if limit.registry is LOSSES else None)


def _names(registry: NamedRegistry, *, compares: bool | None) -> str:
    """Lists kdvideo's own names, of losses only those that compare with a teacher or only the others."""
    own = [name for name in registry.names() if not registry.own_module(name)]
    chosen = [name for name in own if compares is None or hasattr(registry.get(name), "output") == compares]
    return ", ".join(f"`{name}`" for name in chosen)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}.\n\n" if text else ""


if __name__ == "__main__":
    PAGE.write_text(config_page(), encoding="utf-8")
