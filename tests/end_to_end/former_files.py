"""Files as kdvideo 1ffee42 wrote them, in `former/`: a finetuning run of a tiny HMDB51 and its zoo entry.

It numbered `climb_stairs` before `climb`, and its weights and checkpoints name neither classes nor videos. With that
commit on the path, `python tests/end_to_end/former_files.py FOLDER` writes them again.
"""

import shutil
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from kdvideo.config import load_config
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101
from kdvideo.engine.launch import train
from kdvideo.models import Backbone
from kdvideo.registry import BACKBONES

FORMER = Path(__file__).resolve().parent / "former"
ENTRY = "tiny_conv.former_hmdb51-s1"
ORDER = ["climb_stairs", "climb", "run"]  # the former numbers
CLASSES = {"climb": "BallBounce", "climb_stairs": "BallCircle", "run": "BallRise"}


class TinyConv(Backbone):
    """One convolution, so that files are small."""

    def __init__(self, clip_spec: ClipSpec) -> None:
        super().__init__(num_features=6, clip_spec=clip_spec)
        self.conv = nn.Conv3d(3, 6, (2, 5, 5), stride=(1, 2, 2))

    def forward_features(self, clip: Tensor) -> Tensor:
        """See `Backbone`."""
        return self.conv(clip).relu()


def tiny_conv(clip_spec: ClipSpec | None = None) -> TinyConv:
    """The builder that is registered under its name."""
    return TinyConv(clip_spec or ClipSpec())


def write_hmdb51(folder: Path) -> Path:
    """Writes 12 videos of three classes with HMDB51's lists: 6 to train on, 6 to test on; returns the root."""
    config = SyntheticConfig(train_groups=1, test_groups=1, clips_per_group=2, min_frames=20, max_frames=22)
    made, root = write_synthetic_ucf101(folder / "made", config), folder / "HMDB51"
    lists = root / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for name, motion in CLASSES.items():
        (root / name).mkdir()
        lines = []
        for file in sorted((made / motion).iterdir()):
            shutil.move(file, root / name / file.name)
            lines.append(f"{file.name} {1 if '_c01' in file.name else 2}")
        (lists / f"{name}_test_split1.txt").write_text("\n".join(lines) + "\n")
    return root


def overrides(root: Path, out: Path) -> list[str]:
    """KEY VALUE pairs of the run."""
    return [
        *("TASK.NAME", "supervised", "DATA.NAME", "hmdb51", "DATA.ROOT", str(root), "OUTPUT_DIR", str(out)),
        *("MODEL.BACKBONE", "tiny_conv", "CLIP.LENGTH", "4", "CLIP.SIZE", "32", "CLIP.MODALITY", "rgb"),
        *("DATA.SHORT_SIDE", "36", "DATA.NUM_WORKERS", "0", "SOLVER.BATCH_SIZE", "3", "SOLVER.EPOCHS", "60"),
        *("SOLVER.MOMENTUM", "0.0", "SOLVER.BASE_LR", "0.3", "SOLVER.CLIP_GRADIENTS", "1.0", "EVAL.PERIOD", "60"),
        *("AUGMENT.COLOR_PROB", "0.0", "AUGMENT.GRAYSCALE_PROB", "0.0", "AUGMENT.BLUR_PROB", "0.0"),
        *("EVAL.FINAL_CLIPS_PER_VIDEO", "1", "SOLVER.CHECKPOINT_MAX_TO_KEEP", "1"),
    ]


def _write(folder: Path) -> None:
    torch.set_num_threads(1)
    BACKBONES.register_as("tiny_conv")(tiny_conv)
    work = folder / "work"
    zoo = ["ZOO.DIR", str(folder / "zoo"), "ZOO.PUBLISH_AS", ENTRY, "ZOO.LICENCE", "Apache-2.0"]
    train(load_config(None, [*overrides(write_hmdb51(work), work / "run"), *zoo]))
    (folder / "run").mkdir()
    for name in ("checkpoint.pt", "config.yaml"):
        shutil.copy(work / "run" / name, folder / "run")
    shutil.rmtree(work)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
