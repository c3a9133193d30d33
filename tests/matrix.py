"""Runs the tests that read videos with every Python that is here and every PyAV that setup.py allows: one table.

    python tests/matrix.py                                   all of it, which takes hours: `make test-matrix`
    python tests/matrix.py --newest --only reading           one cell: `.ci/run`
    python tests/matrix.py --pythons 3.13 --av 19.0          some cells
    python tests/matrix.py --environment FOLDER              in an environment that has everything but PyAV

The Python that runs this is tested in its own environment, another one in `.venv-3.13`, 7 GB, made once. Each PyAV lies
in a folder of its own, which comes first on the path. What pytest printed is in output/matrix.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from xml.etree import ElementTree

from packaging.specifiers import SpecifierSet
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = REPOSITORY / "output" / "matrix"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PARTS = {
    "reading": ("tests/data",),
    "all": ("tests/data", "tests/end_to_end", "tests/cli", "tests/inference", "tests/test_cli.py"),
}
OWN_PYTHON = platform.python_version().rpartition(".")[0]
ENVIRONMENT_BYTES = 10e9
MOST_NAMES = 5  # of failed tests in a row; the log has all
VERSIONS = (
    "import platform, av, torch, numpy\n"
    "print(platform.python_version(), av.__version__, torch.__version__, numpy.__version__)"
)


@dataclass(frozen=True)
class Cell:
    """A row of the table; `note` says why there are no numbers, or which tests failed."""

    python: str
    av: str
    torch: str = "-"
    numpy: str = "-"
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: int = 0
    note: str = ""

    @property
    def is_good(self) -> bool:
        return self.passed > 0 and self.failed == 0


def find_python(version: str) -> Path | None:
    """Returns a Python of this version that runs: this one, of the path (pyenv's shims may not run), or pyenv's own."""
    if version == OWN_PYTHON:
        return Path(sys.executable)
    on_path = shutil.which(f"python{version}")
    in_pyenv = (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python{version}")
    for python in (*([on_path] if on_path else []), *sorted(in_pyenv)):
        if subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0:
            return Path(python)
    return None


def make_environment(version: str, python: Path) -> Path:
    """Returns the Python of an environment with kdvideo and all its extras, made where it is missing."""
    if version == OWN_PYTHON:
        return python
    folder = REPOSITORY / f".venv-{version}"
    stamp = folder / ".installed"
    if stamp.exists() and stamp.stat().st_mtime > (REPOSITORY / "setup.py").stat().st_mtime:
        return folder / "bin" / "python"
    free = shutil.disk_usage(REPOSITORY).free
    if not folder.exists() and free < ENVIRONMENT_BYTES:
        raise SystemExit(f"{folder} needs 7 GB, {free / 1e9:.0f} GB are free: make room, or choose fewer --pythons")
    print(f"installing PyTorch and the rest into {folder}: 7 GB, several minutes", flush=True)
    if not (folder / "bin" / "python").exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--editable", f"{REPOSITORY}[all,dev]"]
    subprocess.run(install, check=True)
    stamp.touch()
    return folder / "bin" / "python"


def given_environment(version: str, folders: Iterable[Path]) -> Path | None:
    """Returns the Python of the folder that is an environment of this version."""
    for folder in folders:
        if (folder / "bin" / f"python{version}").exists():
            return folder / "bin" / "python"
    return None


def allowed_av(python: Path) -> list[str]:
    """Returns the minor versions of PyAV that setup.py allows and this Python can have as wheels, oldest first."""
    pip = [python, "-m", "pip", "index", "versions", "av", "--only-binary=:all:"]
    said = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    return minor_versions(said, (REPOSITORY / "setup.py").read_text("utf-8"))


def minor_versions(index: str, setup: str) -> list[str]:
    """Returns the minor versions of `pip index`'s answer that the text of setup.py allows, oldest first."""
    [bounds] = re.findall(r'"av([<>=!~][^"]*)"', setup)
    [available] = re.findall(r"^Available versions: (.*)$", index, flags=re.MULTILINE)
    versions = [Version(text) for text in available.split(", ")]
    minors = {(one.major, one.minor) for one in SpecifierSet(bounds).filter(versions)}
    return [f"{major}.{minor}" for major, minor in sorted(minors)]


def place_av(python: Path, version: str, av: str) -> Path:
    """Returns a folder with the newest PyAV of a minor version, for the front of the path."""
    folder = OUTPUT / "av" / f"python{version}-{av}"
    if not folder.exists():
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", new]
        subprocess.run([*install, f"av=={av}.*"], check=True)
        new.rename(folder)
    return folder


def run_cell(python: Path, version: str, av: str, *, tests: Sequence[str], processes: int) -> Cell:
    """Runs the tests with one Python and one PyAV."""
    try:
        folder = place_av(python, version, av)
    except subprocess.CalledProcessError:
        return Cell(version, av, note="pip could not install this PyAV: see above")
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{REPOSITORY}", "OMP_NUM_THREADS": "1"}
    asked = subprocess.run([python, "-c", VERSIONS], env=environment, capture_output=True, text=True, check=False)
    if asked.returncode:
        return Cell(version, av, note=asked.stderr.strip().splitlines()[-1])
    name = f"python{version}-av{av}"
    report, log = OUTPUT / f"{name}.xml", OUTPUT / f"{name}.log"
    report.unlink(missing_ok=True)
    command = [python, "-m", "pytest", *tests, "-m", "not slow", "-p", "no:cacheprovider", f"--junitxml={report}"]
    with log.open("w") as stream:
        parallel = [f"--numprocesses={processes}"] if processes > 1 else []
        subprocess.run(
            [*command, *parallel], env=environment, cwd=REPOSITORY, stdout=stream, stderr=stream, check=False
        )
    versions = asked.stdout.split()
    if not report.exists():
        return Cell(*versions, note=f"pytest ended early: see {log}")
    return read_report(Cell(*versions), report)


def read_report(cell: Cell, report: Path) -> Cell:
    """Returns the cell with the numbers of pytest's report, and the tests that failed."""
    suite = ElementTree.parse(report).getroot()[0]
    tests, failures, errors, skipped = (int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped"))
    failed = [case for case in suite.iter("testcase") if {"failure", "error"} & {part.tag for part in case}]
    names = [f"{case.get('classname')}::{case.get('name')}" for case in failed]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    passed, seconds = tests - failures - errors - skipped, round(float(suite.get("time", 0)))
    versions = (cell.python, cell.av, cell.torch, cell.numpy)
    return Cell(*versions, passed, failures + errors, skipped, seconds, ", ".join(names[:MOST_NAMES]) + more)


def format_table(cells: Iterable[Cell]) -> str:
    """Returns the cells as Markdown."""
    heads = ("Python", "PyAV", "torch", "numpy", "passed", "failed", "skipped", "seconds", "")
    rows = [heads, ("---",) * len(heads), *(astuple(cell) for cell in cells)]
    return "\n".join(f"| {' | '.join(str(value) for value in row)} |" for row in rows)


def chosen_pythons(arguments: argparse.Namespace) -> dict[str, Path]:
    """Returns the interpreters by version, of all that are here or of the newest; says which are not here."""
    found = {version: find_python(version) for version in arguments.pythons}
    for version, python in found.items():
        if python is None:
            print(f"Python {version} is left out: neither on the path nor in ~/.pyenv/versions")
    here = [version for version, python in found.items() if python is not None]
    if arguments.newest:
        here = sorted(here, key=Version)[-1:]
        if here == [OWN_PYTHON]:
            print(f"no Python is newer than the one that runs this, {OWN_PYTHON}: only PyAV is exchanged")
    return {version: found[version] for version in here}


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="+", default=PYTHONS, metavar="3.X", help="default: %(default)s")
    parser.add_argument("--av", nargs="+", metavar="X.Y", help="PyAV's minor versions; default: all that are allowed")
    parser.add_argument("--only", choices=PARTS, default="all", help="which tests; default: all of PARTS in this file")
    parser.add_argument("--newest", action="store_true", help="the newest Python and the newest PyAV only")
    parser.add_argument(
        "--environment", nargs="+", type=Path, default=(), metavar="FOLDER", help="use these, make fewer"
    )
    parser.add_argument("--processes", type=int, default=2, help="of one thread each; default: %(default)s")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Returns 1 where a cell failed or there is none."""
    arguments = parse_arguments(words)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    cells: list[Cell] = []
    for version, found in chosen_pythons(arguments).items():
        try:
            python = given_environment(version, arguments.environment) or make_environment(version, found)
            versions = arguments.av or allowed_av(python)
        except subprocess.CalledProcessError as error:
            cells.append(Cell(version, "-", note=f"`{' '.join(map(str, error.cmd))}` failed: see above"))
            continue
        for av in versions[-1:] if arguments.newest else versions:
            print(f"Python {version}, PyAV {av} ...", flush=True)
            tests = PARTS[arguments.only]
            cells.append(run_cell(python, version, av, tests=tests, processes=arguments.processes))
    print(format_table(cells))
    return 0 if cells and all(cell.is_good for cell in cells) else 1


if __name__ == "__main__":
    sys.exit(main())
