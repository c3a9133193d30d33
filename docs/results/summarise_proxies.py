"""Tables of docs/results/proxies.md: `summarise_proxies.py OUTPUT_OF_RUNS`."""

import math
import statistics
import sys
from pathlib import Path

import simplejson

from kdvideo.data.checking.manifest import MANIFEST_NAME, read_manifest
from kdvideo.data.proxies.transcode import proxy_name
from kdvideo.data.readers.decode import count_frames

SEEDS = (0, 1, 2, 3, 4)
T_95 = 2.776  # Student's t for five values, two-sided 95 %
MEASURES = ("pretext_accuracy", "retrieval_at_1", "retrieval_10clip_at_1")


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval over seeds."""
    return statistics.mean(values), T_95 * statistics.stdev(values) / math.sqrt(len(values))


def run_values(folder: Path) -> dict[str, float]:
    """A run's final metrics."""
    return simplejson.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])


def table(runs: Path) -> str:
    """One row a measure: values by seed, mean with interval, difference seed by seed with interval."""
    header = "| | sources, seeds 0 to 4 | proxies, seeds 0 to 4 | sources | proxies | difference |"
    rows = [header, "|---|" + "---|" * 5]
    values = {kind: [run_values(runs / f"{kind}.seed{seed}") for seed in SEEDS] for kind in ("sources", "proxies")}
    for name in MEASURES:
        sources, proxies = ([run[name] for run in values[kind]] for kind in ("sources", "proxies"))
        differences = [b - a for a, b in zip(sources, proxies, strict=True)]
        cells = [" ".join(f"{value:.3f}" for value in of_kind) for of_kind in (sources, proxies)]
        cells += ["{:.3f} ± {:.3f}".format(*interval(of_kind)) for of_kind in (sources, proxies, differences)]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def killed_and_continued(runs: Path) -> str:
    """Whether the proxies of the killed run are what they should be, each decoded to its end."""
    sources = read_manifest(runs / "sources.jsonl")
    entries = read_manifest(runs / "killed" / MANIFEST_NAME)
    broken = [
        name
        for name, entry in sources.items()
        if count_frames(runs / "killed" / proxy_name(name)) != entry.probe.frames
        or entries[proxy_name(name)].probe.frames != entry.probe.frames
    ]
    leftovers = [path for path in (runs / "killed").rglob(".*") if path.suffix == ".tmp"]
    return f"killed twice: {len(entries)} proxies of {len(sources)}, {len(broken)} broken, {len(leftovers)} left over"


def main() -> None:
    """Prints what the page holds."""
    runs = Path(sys.argv[1])
    print((runs / "prepare.txt").read_text().strip(), killed_and_continued(runs), table(runs), sep="\n\n")


if __name__ == "__main__":
    main()
