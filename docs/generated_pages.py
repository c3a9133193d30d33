"""The pages of the docs site that are made when it is built, so that they cannot be stale: a hook of MkDocs."""

import ast
import inspect
import tokenize
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from kdvideo.config import flatten_config, get_defaults
from kdvideo.config.validate import describe_limits

PACKAGE = Path(__file__).resolve().parent.parent / "kdvideo"
DEFAULTS = PACKAGE / "config" / "defaults.py"
API = ("models", "losses", "tasks", "data", "zoo", "evaluation", "inference", "engine")
SECTIONS = {  # of the config, in words
    "": "The run",
    "TASK": "What is trained for",
    "MODEL": "The network",
    "CLIP": "A clip",
    "PRETEXT": "The pretext",
    "CONTRAST": "The contrastive loss",
    "TEACHER": "The teacher",
    "DATA": "Videos",
    "AUGMENT": "Augmentation",
    "SOLVER": "Optimisation",
    "EVAL": "Evaluation",
    "ZOO": "Publishing",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    security = (PACKAGE.parent / "SECURITY.md").read_text("utf-8")
    pages = {"config.md": config_page(), "security.md": security, "api/kdvideo.md": top_level_page()}
    pages |= {f"api/{package}.md": api_page(package) for package in API}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def config_page() -> str:
    """Every key with its default, what is allowed and the comment beside it."""
    comments = read_comments()
    sections: dict[str, list[str]] = {}
    for key, value in flatten_config(get_defaults()).items():
        section = key.rpartition(".")[0]
        cells = (f"`{key}`", f"`{value!r}`", _cell(describe_limits(key)), _cell(comments.get(key, "")))
        sections.setdefault(section, []).append(f"| {' | '.join(cells)} |\n")
    text = (
        "# Config\n\nRendered from `kdvideo/config/defaults.py`. A yaml file names another as its `_BASE_` and says "
        "what differs; `KEY VALUE` pairs on the command line come last. An unknown key, a value of another type or out "
        "of its range ends in one line before anything is loaded. Backbones, pretexts, losses, tasks and datasets may "
        "be [your own](extending.md), which the command line imports: no key of a config can.\n"
    )
    for section, rows in sections.items():
        text += f"\n## {SECTIONS.get(section, section)}\n\n{_sentence(comments.get(section, ''))}"
        text += "| key | default | allowed | |\n|---|---|---|---|\n" + "".join(rows)
    return text


def read_comments() -> dict[str, str]:
    """Key or section -> the comment behind its line in defaults.py."""
    with tokenize.open(DEFAULTS) as stream:
        comments = {
            token.start[0]: token.string.removeprefix("#").strip()
            for token in tokenize.generate_tokens(stream.readline)
            if token.type == tokenize.COMMENT
        }
    found = {}
    for node in ast.parse(DEFAULTS.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute) and node.lineno in comments:
            found[ast.unparse(node.targets[0]).removeprefix("_C.")] = comments[node.lineno]
    return found


def top_level_page() -> str:
    """What `import kdvideo` gives, where it is defined."""
    import kdvideo

    text = f"# kdvideo\n\n{kdvideo.__doc__}\n\n| name | |\n|---|---|\n"
    for name in kdvideo.__all__:
        found: Any = getattr(kdvideo, name)
        if hasattr(found, "__module__"):
            summary = _cell(inspect.getdoc(found).splitlines()[0])
            text += f"| [`kdvideo.{name}`][{found.__module__}.{name}] | {summary} |\n"
    return text + "\n::: kdvideo.registry\n"


def api_page(package: str) -> str:
    """All modules of a package."""
    modules = sorted(path.stem for path in (PACKAGE / package).glob("[!_]*.py"))
    return f"# kdvideo.{package}\n" + "".join(f"\n::: kdvideo.{package}.{module}\n" for module in modules)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}.\n\n" if text else ""
