"""Shows that today's kdvideo gives the numbers of an earlier commit, to the bit: one table, exit code 1 if any differs.

    python tests/golden/compare.py                    batches, losses, a resumed run, shipped models: five minutes
    python tests/golden/compare.py --metrics          also each metric of the shipped models, on their videos
    python tests/golden/compare.py --before COMMIT    something else than the commit named below
    python tests/golden/compare.py --keep FOLDER      keeps what the commit gave, for the next comparison

Both sides run here, with this Python, on one thread, in processes of their own: the files of the commit, which
`git archive` writes into a folder, and the checkout that this file is in. side.py is what they run.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from side import RESUMED, read_run, train_arguments

BEFORE = "ce16d81"  # the last commit before modules moved
REPOSITORY = Path(__file__).resolve().parents[2]
STOPPED = 75  # the exit code of a run that a signal has stopped


@dataclass(frozen=True)
class Side:
    """One tree of kdvideo, and the folder of all that it writes."""

    tree: Path
    folder: Path

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Starts Python with this tree's kdvideo and no other; its output goes to a file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        own = {"PYTHONPATH": str(self.tree), "KDVIDEO_HOME": str(self.folder / "home"), "OMP_NUM_THREADS": "1"}
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments], cwd=self.folder, env={**os.environ, **own}, stdout=log, stderr=log
            )

    def run(self, *arguments: str | Path, expected: int = 0) -> None:
        """Runs Python, and ends this program where it fails."""
        self.check(self.start(*arguments), expected=expected)

    def check(self, process: subprocess.Popen[bytes], *, expected: int = 0) -> None:
        """Waits for a process, and ends this program unless it ends with `expected`."""
        if process.wait() != expected:
            last = "\n".join((self.folder / "log.txt").read_text().splitlines()[-20:])
            sys.exit(f"{last}\n{self.tree}: exit code {process.returncode}, not {expected}")


def measure(side: Side, *, videos: Path | None) -> dict[str, Any]:
    """Returns what side.py finds, made now unless it is there."""
    found = side.folder / "found.json"
    if not found.exists():
        side.run(Path(__file__).with_name("side.py"), side.folder, *(("--metrics", videos) if videos else ()))
    return json.loads(found.read_text())


def resume(before: Side, after: Side, work: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Stops a run of the earlier code after an epoch; the earlier code finishes a copy of it, today's another."""
    begun, data = work / "begun", before.folder / "videos"
    process = before.start("-m", "kdvideo.cli", *train_arguments(RESUMED, data=data, out=begun))
    while process.poll() is None and not (begun / "metrics.jsonl").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    before.check(process, expected=STOPPED)
    found = []
    for side, name in ((before, "finished_by_before"), (after, "finished_by_after")):
        own = Path(shutil.copytree(begun, work / name))
        side.run("-m", "kdvideo.cli", *train_arguments(RESUMED, data=data, out=own), "--resume")
        found.append(read_run(own))
    return found[0], found[1]


def render(sides: tuple[Side, Side], work: Path) -> list[list[str]]:
    """Returns MODEL_ZOO.md as each side writes it for the earlier commit's entries."""
    found = []
    for number, side in enumerate(sides):
        copy = shutil.copytree(sides[0].tree / "model_zoo", work / f"zoo{number}")
        side.run("-m", "kdvideo.cli", "zoo", "render", copy)
        found.append((copy / "MODEL_ZOO.md").read_text().splitlines())
    return found


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Yields each place where two findings differ, with both values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before | after:
            yield from differences(before.get(key), after.get(key), f"{place}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{place}/{number}")
    elif before != after:
        yield f"{place}: {before} | {after}"


def main() -> int:
    """Measures both sides and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT")
    parser.add_argument("--metrics", action="store_true", help="also measure the shipped models on their videos")
    usual = Path(os.environ.get("KDVIDEO_DATA") or REPOSITORY.parent / "shared" / "data") / "ucf101-mini"
    parser.add_argument("--videos", type=Path, default=usual, help="their videos (default %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the commit's files and findings there")
    options = parser.parse_args()
    videos = options.videos.resolve() if options.metrics and options.videos.is_dir() else None
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(REPOSITORY):
        work = Path(name)
        kept = options.keep.resolve() / f"{options.before}{'-metrics' if videos else ''}" if options.keep else work
        sides = Side(kept / "tree", kept / "before"), Side(REPOSITORY, work / "after")
        if not sides[0].tree.exists():
            archive = subprocess.run(["git", "archive", options.before], capture_output=True, check=True).stdout
            sides[0].tree.mkdir(parents=True)
            subprocess.run(["tar", "-x", "-C", sides[0].tree], input=archive, check=True)
        before, after = (measure(side, videos=videos) for side in sides)
        before["resumed run"], after["resumed run"] = resume(*sides, work)
        before["MODEL_ZOO.md"], after["MODEL_ZOO.md"] = render(sides, work)
    rows = {row: list(differences(before.get(row), after.get(row))) for row in before | after}
    for row, apart in rows.items():
        print(f"{row:<75} {f'{len(apart)} DIFFER, first {apart[0][:300]}' if apart else 'equal'}")
    if options.metrics and videos is None:
        print(f"metrics of shipped models: not measured, there are no videos in {options.videos}")
    return 1 if any(rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
