"""Expected hours of `ucf101.sh` on one GPU, from measured rates.

    python benchmarks/ucf101_hours.py FILE [--backbones c3d r3d_10 r2plus1d_10] [--epochs 100] [--finetune-epochs 150]

FILE has the lines that `train_step.py --cases alone replay online --json FILE` wrote on this machine. Only steps count:
reading from a slow disk, the first decoding and the final evaluation come on top. A student's first epochs with a new
teacher are online steps, and all later students of that teacher read its answers.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from json_lines import read_lines

VIDEOS, TEST_VIDEOS, FINETUNED_VIDEOS, TEST_CLIPS = 9537, 3783, 3213, 32  # split 1 of UCF101; HMDB51's 90 %


def measured_rates(path: Path) -> dict[tuple[str, str], float]:
    """Tuples a second by backbone and case; the fastest of a file's lines."""
    rates: dict[tuple[str, str], float] = {}
    for line in read_lines(path):
        if "tuples_per_s" in line:
            key = line["backbone"], line["case"]
            rates[key] = max(rates.get(key, 0.0), line["tuples_per_s"])
    return rates


def training_hours(rates: dict[tuple[str, str], float], backbones: Sequence[str], *, epochs: int) -> dict[str, float]:
    """Hours of baselines and pairs, by run. A teacher's answers are computed for its first student."""
    hours = {}
    for student in backbones:
        hours[student] = epochs * VIDEOS / rates[student, "alone"] / 3600
    for teacher in backbones:
        for number, student in enumerate(backbones):
            rate = rates[student, "online" if number == 0 else "replay"]
            hours[f"{student}_from_{teacher}"] = epochs * VIDEOS / rate / 3600
    return hours


def evaluation_hours(rates: dict[tuple[str, str], float], backbone: str, *, evaluations: int) -> float:
    """Hours of a run's evaluations: a clip's forward is a third of a clip's step."""
    clips = evaluations * (TEST_VIDEOS * TEST_CLIPS + 2 * VIDEOS)
    return clips / (9 * rates[backbone, "alone"]) / 3600


def finetuning_hours(rates: dict[tuple[str, str], float], backbone: str, *, epochs: int) -> float:
    """Hours of one finetuning, of one clip a video and epoch."""
    return epochs * FINETUNED_VIDEOS / (3 * rates[backbone, "alone"]) / 3600


def main() -> None:
    """Prints the hours of each run and their sum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", type=Path, metavar="FILE")
    parser.add_argument("--backbones", nargs="+", default=["c3d", "r3d_10", "r2plus1d_10"])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--evaluations", type=int, default=10, help="of each pretraining")
    parser.add_argument("--finetune-epochs", type=int, default=150)
    options = parser.parse_args()
    rates = measured_rates(options.steps)
    total = 0.0
    for name, hours in training_hours(rates, options.backbones, epochs=options.epochs).items():
        student = name.partition("_from_")[0]
        hours += evaluation_hours(rates, student, evaluations=options.evaluations)
        finetuned = finetuning_hours(rates, student, epochs=options.finetune_epochs)
        print(f"{name:28} {hours:7.2f} h, finetuned on HMDB51 {finetuned:6.2f} h")
        total += hours + finetuned
    print(f"expected: {total:.1f} h on one GPU like this one, with steps alone counted", flush=True)


if __name__ == "__main__":
    main()
