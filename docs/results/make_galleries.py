"""Gives every model of a zoo that has been trained on ucf101-mini the gallery that `kdvideo predict` looks into.

    python docs/results/make_galleries.py DATA_ROOT ZOO

A row a training video: its name, its class, its feature (mean of 10 uniform clips) in float16, beside the weights. A
gallery that is there stays: the name of its weights has their hash.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import safe_open
from safetensors.torch import save

from kdvideo.files import write_atomic
from kdvideo.inference.gallery import write_features
from kdvideo.inference.predict import compute_features
from kdvideo.registry import DATASETS
from kdvideo.zoo.folder import Zoo


def make_gallery(name: str, weights: Path, *, root: Path) -> Path:
    """Writes the gallery of one model."""
    path = weights.with_suffix(".gallery.safetensors")
    videos = [record.path for record in DATASETS.get("ucf101")(root, None, split=1, subset="train")]
    outputs, facts = compute_features(str(weights), videos)
    with TemporaryDirectory() as folder:
        whole = Path(folder) / path.name
        write_features(whole, outputs, root=root, facts=replace(facts, model=name))
        with safe_open(whole, framework="pt") as stored:
            halves, metadata = {"feature": stored.get_tensor("feature").half()}, stored.metadata()
    write_atomic(path, lambda temporary: temporary.write_bytes(save(halves, metadata=metadata)))
    return path


def main() -> None:
    """Says how large each has become."""
    root, zoo = Path(sys.argv[1]), Zoo(Path(sys.argv[2]))
    for entry in zoo.entries():
        weights = zoo.weights_of(entry)
        if "ucf101mini" in entry.name and weights.exists() and not zoo.gallery_of(entry).exists():
            path = make_gallery(entry.name, weights, root=root)
            print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
