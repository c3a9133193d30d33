"""The pages of the docs site that are made when it is built, so that they cannot be stale: a hook of MkDocs."""

import inspect
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from kdvideo.config.keys import KEYS, SECTIONS

PACKAGE = Path(__file__).resolve().parent.parent / "kdvideo"
API = ("models", "losses", "tasks", "data", "zoo", "evaluation", "inference", "engine")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages to the site."""
    security = (PACKAGE.parent / "SECURITY.md").read_text("utf-8")
    pages = {"config.md": config_page(), "security.md": security, "api/kdvideo.md": top_level_page()}
    pages |= {f"api/{package}.md": api_page(package) for package in API}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def config_page() -> str:
    """Renders every key with its default, what is allowed and its comment."""
    text = (
        "# Config\n\nRendered from `kdvideo/config/keys.py`. A yaml file names another as its `_BASE_` and says "
        "what differs; `KEY VALUE` pairs on the command line come last. An unknown key, a value of another type or out "
        "of its range ends in one line before anything is loaded. Backbones, pretexts, losses, tasks and datasets may "
        "be [your own](extending.md), which the command line imports: no key of a config can.\n"
    )
    for name, section in SECTIONS.items():
        text += (
            f"\n## {section.title}\n\n{_sentence(section.comment)}| key | default | allowed | |\n|---|---|---|---|\n"
        )
        text += "".join(_row(key) for key in KEYS if key.rpartition(".")[0] == name)
    return text


def _row(name: str) -> str:
    key = KEYS[name]
    allowed = ", ".join(limit.shown for limit in key.limits)
    return f"| `{name}` | `{key.default!r}` | {_cell(allowed)} | {_cell(key.comment)} |\n"


def top_level_page() -> str:
    """Renders the names of `import kdvideo` and where they are defined."""
    import kdvideo

    text = f"# kdvideo\n\n{kdvideo.__doc__}\n\n| name | |\n|---|---|\n"
    for name in kdvideo.__all__:
        found: Any = getattr(kdvideo, name)
        if hasattr(found, "__module__"):
            summary = _cell(inspect.getdoc(found).splitlines()[0])
            text += f"| [`kdvideo.{name}`][{found.__module__}.{name}] | {summary} |\n"
    return text + "\n::: kdvideo.calls\n\n::: kdvideo.registry\n"


def api_page(package: str) -> str:
    """Renders a page with all modules of a package."""
    modules = sorted(path.stem for path in (PACKAGE / package).glob("[!_]*.py"))
    return f"# kdvideo.{package}\n" + "".join(f"\n::: kdvideo.{package}.{module}\n" for module in modules)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}.\n\n" if text else ""
