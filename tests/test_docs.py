"""What README, CONTRIBUTING and docs/ show works: Python runs, commands parse, links and pictures are there."""

import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

import kdvideo.data
import kdvideo.losses
import kdvideo.models
import kdvideo.tasks  # noqa: F401 - all four fill registries, before a test restores them
from kdvideo.cli import build_parser, main
from kdvideo.config import flatten_config, get_defaults, load_config
from kdvideo.registry import BACKBONES, LOSSES, PRETEXTS
from kdvideo.zoo.sources import find_entry

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"^```(\w*(?: notest)?)[^\n]*\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)  # without a title
BLOCKS = [
    (f"{page.relative_to(ROOT)}-{number}", kind, block)
    for page in PAGES
    for number, (kind, block) in enumerate(FENCE.findall(page.read_text("utf-8")))
]
PYTHON = {where: block for where, kind, block in BLOCKS if kind == "python"}
GENERATED = runpy.run_path(str(ROOT / "docs" / "generated_pages.py"))
NOT_OURS = ("source", "pip", "gh", "git", "cd", "sbatch", "squeue", "scancel")


def commands(block: str) -> list[list[str]]:
    """Its command lines as words, continued lines joined, comments left out."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = {
    f"{where}: {' '.join(words)[:60]}": words
    for where, kind, block in BLOCKS
    if kind in ("bash", "")
    for words in commands(block)
    if kind == "bash" or words[0] in ("kdvideo", "python", "torchrun")
}


def test_every_block_is_of_a_kind_that_is_tested():
    """Python that cannot run here (a download, a file of the reader's) says so; text has no kind."""
    assert {kind for _, kind, _ in BLOCKS} <= {"python", "python notest", "bash", ""}
    assert sum(kind == "python notest" for _, kind, _ in BLOCKS) <= 3
    assert {"README.md-2", "README.md-3"} <= set(PYTHON)  # loading and registering


@pytest.mark.parametrize("where", PYTHON)
def test_python_block(where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_dataset: Path):
    """As a reader would paste it, beside a video; what it registers is taken out again."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(next(tiny_dataset.rglob("*.avi")), "video.mp4")  # readers look into a file, not at its name
    for registry in (BACKBONES, LOSSES, PRETEXTS):
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))
    exec(compile(PYTHON[where], where, "exec"), {})


def our_arguments(words: list[str]) -> list[str] | None:
    """What `kdvideo` is given, None where another program is called; ellipses are left out, shell variables are 1."""
    if words[0].endswith("=1"):  # an environment variable
        words = words[1:]
    text = " ".join(map(shlex.quote, words)).replace("--config-file ...", "")
    words = [re.sub(r"\$\{?\w+\}?", "1", word) for word in shlex.split(text) if word not in ("...", "KEY", "VALUE")]
    if words[0] == "kdvideo":
        return words[1:]
    if "kdvideo.cli" in words:
        return words[words.index("kdvideo.cli") + 1 :]
    scripts = [number for number, word in enumerate(words) if word.endswith("train_net.py")]
    return ["train", *words[scripts[0] + 1 :]] if scripts else None


@pytest.mark.parametrize("where", COMMANDS)
def test_command(where: str):
    """Ours parse, with the keys of the config and files that they name; make's targets and scripts are there."""
    words = COMMANDS[where]
    arguments = our_arguments(words)
    if arguments is not None:
        options = build_parser().parse_args(arguments)
        if options.command == "train":
            shipped = options.config_file and options.config_file.parts[0] == "model_zoo"
            load_config(ROOT / options.config_file if shipped else None, options.overrides)
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[0] == "python" or words[0].startswith("docs/"):
        assert (ROOT / words[words[0] == "python"]).is_file()
    else:
        assert words[0] in NOT_OURS, f"{words[0]} is no command that this test knows"


def test_the_launch_that_the_readme_shows(
    tiny_dataset: Path, tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its commands, one after the other, on a tiny dataset: the student is in the zoo and names its teacher."""
    monkeypatch.chdir(tmp_path)
    (shown,) = [block for where, _, block in BLOCKS if where.startswith("README") and "tools/train_net.py" in block]
    own = dict(zip(tiny_overrides[::2], tiny_overrides[1::2], strict=True))
    small = [word for key, value in own.items() if key not in ("OUTPUT_DIR", "ZOO.DIR") for word in (key, value)]
    for words in commands(shown.replace("model_zoo/configs", str(ROOT / "model_zoo" / "configs"))):
        arguments = our_arguments(words)
        assert arguments is not None
        assert main([*arguments, *(small if arguments[0] == "train" else [])]) == 0
    entry, _ = find_entry("c3d_w16.pcl-vcp-from-r3d_10_w16_mine-s1")
    assert entry.teacher is not None
    assert find_entry(entry.teacher["name"])[0].sha256 == entry.teacher["sha256"]


def test_links_lead_somewhere():
    """Relative links and pictures of all pages; two pages of the site are made when it is built."""
    made = ("config.md", "kdvideo.md")
    for page in PAGES:
        text = FENCE.sub("", page.read_text("utf-8"))
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target and not target.endswith(made):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_in_the_site():
    """A page that nobody can find by the menu fails the build, too; here it takes no half minute."""

    def leaves(nav: object) -> set[str]:
        items = nav.values() if isinstance(nav, dict) else nav
        return {nav} if isinstance(nav, str) else set().union(*map(leaves, items))

    made = {"config.md", "api/kdvideo.md", *(f"api/{name}.md" for name in GENERATED["API"])}
    written = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if "docs" in page.parts[len(ROOT.parts) :]}
    assert leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]) == written | made


def test_generated_pages():
    """The config reference has every key, default and comment; the API pages have every module."""
    text = GENERATED["config_page"]()
    for key, value in flatten_config(get_defaults()).items():
        assert f"| `{key}` | `{value!r}` | " in text
    assert "| `SOLVER.EPOCHS` | `100` | at least 1 |  |" in text
    assert "| `CLIP.MODALITY` | `'residual'` | `rgb`, `residual` |  |" in text
    assert "channels of the stem; every other layer scales with it" in text
    assert "::: kdvideo.losses.nce" in GENERATED["api_page"]("losses")
    assert "[`kdvideo.create_model`][kdvideo.zoo.load.create_model]" in GENERATED["top_level_page"]()
