"""The blocks of README, CONTRIBUTING and docs/, and a folder in which what they show runs.

A shell block runs unless a comment before it says why it cannot: `<!-- only parsed: REASON -->`.
"""

import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(
    r"^(?:<!-- only parsed: (?P<why>[^\n]+) -->\n)?"
    r"```(?P<kind>\w*(?: notest)?)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    flags=re.DOTALL | re.MULTILINE,
)
SMALL = [  # a second an epoch
    *("MODEL.WIDTH", "4", "CLIP.LENGTH", "8", "CLIP.SIZE", "32", "DATA.SHORT_SIDE", "36", "PRETEXT.INTERVAL", "2"),
    *("SOLVER.EPOCHS", "1", "SOLVER.BATCH_SIZE", "6", "DATA.NUM_WORKERS", "0"),
    *("EVAL.TUPLES_PER_VIDEO", "1", "EVAL.FINAL_CLIPS_PER_VIDEO", "1"),
]


@dataclass(frozen=True)
class Block:
    """What stands between two fences.

    Attributes:
        where: page and number, e.g. "README.md-0".
        kind: "python", "python notest", "bash", "yaml" for a config file, or "" for text.
        title: the file that it is to be saved as, or "".
        text: without the fences.
        why: it is only parsed, "" where it runs.
    """

    where: str
    kind: str
    title: str
    text: str
    why: str

    @property
    def page(self) -> str:
        """Without the number."""
        return self.where.rpartition("-")[0]

    @property
    def commands(self) -> list[list[str]]:
        """Its command lines as words, continued lines joined, comments left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def _blocks(page: Path) -> list[Block]:
    found = enumerate(FENCE.finditer(page.read_text("utf-8")))
    texts = ((number, {key: value or "" for key, value in match.groupdict().items()}) for number, match in found)
    return [Block(where=f"{page.relative_to(ROOT)}-{number}", **groups) for number, groups in texts]


BLOCKS = [block for page in PAGES for block in _blocks(page)]
BESIDE_OTHERS = "docs/coming_from.md"  # quotes other projects, and test_coming_from.py runs what is ours
RUN_PAGES = list(
    dict.fromkeys(
        block.page for block in BLOCKS if block.kind == "bash" and not block.why and block.page != BESIDE_OTHERS
    )
)


def our_arguments(words: Sequence[str]) -> list[str] | None:
    """What `kdvideo` is given, None where another program is called; ellipses are left out, shell variables are 1."""
    words = [*words[words[0].endswith("=1") :]]  # without an environment variable
    words = [re.sub(r"\$\{?\w+\}?", "1", word) for word in words if word not in ("...", "KEY", "VALUE")]
    if words[0] == "kdvideo":
        return words[1:]
    if "kdvideo.cli" in words:
        return words[words.index("kdvideo.cli") + 1 :]
    scripts = [number for number, word in enumerate(words) if word.endswith("train_net.py")]
    return ["train", *words[scripts[0] + 1 :]] if scripts else None


def prepare_folder(folder: Path, page: str, videos: Path) -> None:
    """What the pages speak of: a checkout's folders, datasets, a video, and the page's own files."""
    for name in ("model_zoo", "tools", "docs"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("data/UCF-101", "data/kinetics"):
        shutil.copytree(videos, folder / name)
    shutil.copytree(videos / "ucfTrainTestlist", folder / "data" / "ucfTrainTestlist")
    (folder / "output" / "demo").mkdir(parents=True)
    for name in ("videos", "output/demo/data"):
        (folder / name).symlink_to(folder / "data" / "UCF-101")
    shutil.copy(next(videos.rglob("*.avi")), folder / "new.mp4")  # readers look into a file, not at its name
    (folder / "my.yaml").write_text("DATA: {NAME: ucf101}\n")
    for block in BLOCKS:
        if block.page == page and block.title:
            (folder / block.title).write_text(block.text)


def runnable(words: Sequence[str], folder: Path) -> list[str]:
    """The command with the folder's data, and small where it trains."""
    words = [re.sub(r"^/(data|scratch)/", rf"{folder}/\1/", word) for word in words]
    arguments = our_arguments(words)
    return [*words, *SMALL] if arguments and arguments[0] == "train" else words
