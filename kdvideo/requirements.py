"""Compares the installed packages with kdvideo's requirements. None of these packages needs to be present."""

import importlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from kdvideo.errors import first_line
from kdvideo.version import __version__

__all__ = ["Finding", "examine_requirements"]

_MODULES = {"pyyaml": "yaml"}  # distribution -> the module to import, if its name differs


@dataclass(frozen=True)
class Finding:
    """One line of a check.

    Attributes:
        what: what was checked.
        found: the result.
        advice: what to do. "" if nothing has to be done.
    """

    what: str
    found: str
    advice: str = ""


def examine_requirements() -> Iterator[Finding]:
    """Compares Python and each required package with the versions that kdvideo's installation allows; never raises."""
    try:
        own = metadata.distribution("kdvideo")
    except metadata.PackageNotFoundError:
        found = f"{__version__} is not installed, so what it needs is not known"
        yield Finding("requirements", found, "pip install -e . in its checkout")
        return
    stated = own.metadata.get_all("Requires-Python")
    yield _python(stated[0] if stated else "")
    for text in own.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _compare(requirement)


def _python(allowed: str) -> Finding:
    version = platform.python_version()
    if SpecifierSet(allowed).contains(version, prereleases=True):
        return Finding("Python", version)
    return Finding("Python", f"{version}, kdvideo needs {allowed}", "make an environment of another Python for it")


def _compare(requirement: Requirement) -> Finding:
    name = requirement.name
    install = f"pip install '{name}{requirement.specifier}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", install)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(name, f"{version}, kdvideo needs {requirement.specifier}", install)
    try:
        importlib.import_module(_MODULES.get(name.lower(), name.replace("-", "_")))
    except Exception as error:  # a broken binary package may raise anything
        return Finding(name, f"{version}, does not import ({first_line(error)})", f"{install} --force-reinstall")
    return Finding(name, version)
