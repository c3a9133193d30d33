"""What a fresh machine installs is what the code imports."""

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import yaml

from kdvideo.extras import OPTIONAL_PACKAGES
from kdvideo.version import __version__

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("kdvideo", "tools", "examples", "tests", "benchmarks", "docs")
# Distributions that others of ours cannot do without.
COME_ALONG = {"yacs": "fvcore", "iopath": "fvcore", "pillow": "torchvision", "mkdocs": "mkdocs-material"}


def imported() -> dict[str, Path]:
    """Third-party modules and a file that imports each."""
    found: dict[str, Path] = {}
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    packages = {path.parent.name for path in paths if path.parent.parent == ROOT / "benchmarks"}
    own = {"kdvideo", *packages, *(path.stem for path in paths)}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in names:
                found.setdefault(name.split(".")[0], path)
    return {name: path for name, path in found.items() if name not in own and name not in sys.stdlib_module_names}


def test_every_import_is_declared_in_setup():
    """A package that only another one's needs brought along is missing on a machine where they do not."""
    text = (ROOT / "setup.py").read_text("utf-8")
    declared = {
        re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r'"([A-Za-z][\w.-]*)(?:[<>=~][^"]*)?"', text)
    }
    distributions = metadata.packages_distributions()
    for module, path in imported().items():
        names = [re.sub(r"[-_.]+", "-", name).lower() for name in distributions.get(module, [module])]
        names += [COME_ALONG[name] for name in names if name in COME_ALONG]
        assert declared & set(names), f"{path.relative_to(ROOT)} imports {module}: declare {names[0]} in setup.py"


def written_in_setup(name: str) -> object:
    """The value of a constant of setup.py."""
    for node in ast.parse((ROOT / "setup.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


def test_few_requirements_each_with_its_reason():
    """At most 12 packages come with `pip install kdvideo`, and a comment says what each is for."""
    text = (ROOT / "setup.py").read_text("utf-8")
    requires = written_in_setup("REQUIRES")
    assert len(requires) <= 12
    for name in requires:
        assert re.search(rf'^    "{re.escape(name)}",  # \w[^\n]{{8,}}$', text, flags=re.MULTILINE), name


def test_every_optional_package_has_its_extra():
    """kdvideo/extras.py names, for each package of an extra, the extra that brings it; torchcodec has a fallback."""
    extras = {
        extra: {re.split(r"[<>=]", name)[0] for name in names} for extra, names in written_in_setup("EXTRAS").items()
    }
    assert all(package.distribution in extras[package.extra] for package in OPTIONAL_PACKAGES.values())
    known = {package.distribution for package in OPTIONAL_PACKAGES.values()}
    assert known | {"torchcodec"} == set().union(*extras.values())


def test_the_workflow_calls_what_is_there():
    """GitHub's jobs run targets of the Makefile, with the oldest Python that setup.py allows among their versions."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    targets = {run.split()[1] for run in runs if run.startswith("make ")}
    assert {"lint", "test", "docs"} <= targets
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)
    oldest = re.search(r'python_requires=">=([\d.]+)"', (ROOT / "setup.py").read_text("utf-8"))
    assert oldest[1] in workflow["jobs"]["test"]["strategy"]["matrix"]["python-version"]


def test_the_citation_is_readmes():
    """CITATION.cff names the authors, the title and the version that README's BibTeX names."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    paper, readme = citation["preferred-citation"], (ROOT / "README.md").read_text("utf-8")
    authors = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    assert f"title     = {{{paper['title']}}}" in readme
    assert f"author    = {{{authors}}}" in readme
    assert f"year      = {{{paper['year']}}}" in readme
    assert citation["version"] == __version__
    assert f"version = {{{__version__}}}" in readme
