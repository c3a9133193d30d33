"""The pages of the docs site that are made when it is built, so that they cannot be stale: a hook of MkDocs."""

import inspect
import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).resolve().parent.parent / "kdvideo"
NOTEBOOKS = sorted((PACKAGE.parent / "notebooks").glob("*.ipynb"))
API = ("models", "losses", "tasks", "data", "zoo", "evaluation", "inference", "engine")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages to the site."""
    security = (PACKAGE.parent / "SECURITY.md").read_text("utf-8")
    pages = {"security.md": security, "api/kdvideo.md": top_level_page()}
    pages |= {f"api/{package}.md": api_page(package) for package in API}
    pages |= {f"notebooks/{path.stem}.md": notebook_page(path) for path in NOTEBOOKS}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


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


def notebook_page(path: Path) -> str:
    """Renders a notebook's cells, without outputs. Its links start at `notebooks/`."""
    text = f"*This page is the notebook `notebooks/{path.name}` of the repository.*\n\n"
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        is_code = cell["cell_type"] == "code"
        text += f"```python\n{source}\n```\n\n" if is_code else source.replace("](../docs/", "](../") + "\n\n"
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
