"""What README, CONTRIBUTING and docs/ show works: Python and commands run, links and pictures are there."""

import re
import runpy
import shutil
from collections.abc import Callable
from importlib import metadata
from itertools import dropwhile
from pathlib import Path

import pytest
import yaml
from pages import BESIDE_OTHERS, BLOCKS, FENCE, PAGES, ROOT, RUN_PAGES, SMALL, our_arguments, prepare_folder, runnable

from kdvideo.cli import main, parse
from kdvideo.config import load_config
from kdvideo.study.plan import plan_runs
from kdvideo.study.read import read_study
from kdvideo.zoo.sources import find_entry

PYTHON = {block.where: block.text for block in BLOCKS if block.kind == "python" and block.page != BESIDE_OTHERS}
CONFIGS = {block.where: block.text for block in BLOCKS if block.kind == "yaml"}
COMMANDS = {
    f"{block.where}: {' '.join(words)[:60]}": words
    for block in BLOCKS
    if block.kind == "bash"
    for words in block.commands
}
GENERATED = runpy.run_path(str(ROOT / "docs" / "generated_pages.py"))
NOT_OURS = ("source", "pip", "gh", "git", "cd", "sbatch", "squeue", "scancel")
NEEDS = {  # what a page takes for granted: a run, as arguments of `kdvideo train`
    "docs/evaluation.md": ["OUTPUT_DIR", "output/a", "TASK.NAME", "supervised", "ZOO.PUBLISH_AS", "MY_CLASSIFIER"],
    "docs/pictures.md": ["OUTPUT_DIR", "output/runs/a"],
    "docs/report.md": ["OUTPUT_DIR", "output/demo/runs/a", "ZOO.DIR", "output/demo/zoo", "ZOO.PUBLISH_AS", "a.b"],
    "docs/using.md": ["OUTPUT_DIR", "output/a", "TASK.NAME", "supervised", "ZOO.PUBLISH_AS", "MY_CLASSIFIER"],
    "docs/zoo.md": ["OUTPUT_DIR", "output/a", "ZOO.PUBLISH_AS", "a.b"],
}
SLOW = ("docs/using.md",)  # exports
QUOTED = ("py", "sh")  # other projects' own lines


def test_every_block_is_of_a_kind_that_is_tested():
    """Python and commands that cannot run here (a download, a cluster) say so; text has no kind."""
    kinds = {"python", "python notest", "bash", "yaml", "bibtex", "text", ""}
    assert {block.kind for block in BLOCKS} <= kinds | set(QUOTED)
    assert {block.page for block in BLOCKS if block.kind in QUOTED} == {BESIDE_OTHERS}
    assert sum(block.kind == "python notest" for block in BLOCKS) <= 2
    assert {block.where for block in BLOCKS if not block.kind} == {"docs/design.md-0"}  # the tree of folders
    assert {"README.md-0", "README.md-3"} <= set(PYTHON)  # loading and registering
    assert all(block.kind == "bash" for block in BLOCKS if block.why)
    assert {"README.md", "docs/extending.md", "docs/data.md", "docs/using.md"} <= set(RUN_PAGES)


@pytest.mark.parametrize("where", PYTHON)
def test_python_block(where: str, new_process: Callable[[], None], monkeypatch, tmp_path: Path, tiny_dataset: Path):
    """As a reader would paste it, beside a video and the demo's data."""
    monkeypatch.chdir(tmp_path)
    Path("output", "demo").mkdir(parents=True)
    Path("output", "demo", "data").symlink_to(tiny_dataset)
    shutil.copy(next(tiny_dataset.rglob("*.avi")), "video.mp4")  # readers look into a file, not at its name
    exec(compile(PYTHON[where], where, "exec"), {})


@pytest.mark.parametrize("where", CONFIGS)
def test_yaml_block(where: str, tmp_path: Path):
    """It is a config file, or a study's."""
    path = tmp_path / "run.yaml"
    path.write_text(CONFIGS[where], encoding="utf-8")
    if CONFIGS[where].startswith("BASE:"):
        assert plan_runs(read_study(path))
    else:
        assert load_config(path).TASK.NAME


@pytest.mark.parametrize("where", COMMANDS)
def test_command(where: str):
    """Ours parse, with the config's keys and the files that they name; make's targets, scripts and extras are there."""
    words = list(dropwhile(lambda word: re.match(r"[A-Z]+=", word), COMMANDS[where]))  # variables of the environment
    arguments = our_arguments(words)
    if arguments is not None:
        options = parse(arguments)
        if options.command in ("train", "eval"):
            files = options.config_files if options.command == "train" else [options.config_file]
            for file in files or [None]:
                named = file and str(file) not in ("F", "G", "my.yaml")
                load_config(file if named else None, options.overrides)
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[0] == "python" or words[0].startswith(("docs/", "benchmarks/")):
        assert (ROOT / words[words[0] == "python"]).is_file()
    elif words[:2] == ["pip", "install"]:
        extras = re.fullmatch(r"(?:kdvideo|\.)(?:\[(\w+)\])?", words[2])
        assert extras
        assert extras[1] in (None, *metadata.metadata("kdvideo").get_all("Provides-Extra"))
    else:
        assert words[0] in NOT_OURS, f"{words[0]} is no command that this test knows"


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow if page in SLOW else ()) for page in RUN_PAGES]
)
def test_commands_of_a_page(
    page: str, new_process: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_dataset: Path
):
    """One after the other, in a folder with the page's files and a tiny dataset, each as a process of its own."""
    monkeypatch.chdir(tmp_path)
    prepare_folder(tmp_path, page, tiny_dataset)
    if page in NEEDS:
        assert main(["train", "DATA.ROOT", "videos", *NEEDS[page], *SMALL]) == 0
    for block in BLOCKS:
        for words in block.commands if block.page == page and block.kind == "bash" and not block.why else []:
            arguments = our_arguments(runnable(words, tmp_path))
            assert arguments is not None or words[0] == "pip", words
            assert arguments is None or main(arguments) == 0, words
            new_process()
    if page == "README.md":
        entry, _ = find_entry("c3d_w16.pcl-vcp-from-r3d_10_w16_mine-s1")
        assert entry.teacher is not None
        assert find_entry(entry.teacher["name"])[0].sha256 == entry.teacher["sha256"]


def test_links_lead_somewhere():
    """Relative links and pictures of all pages; one page of the site is made when it is built."""
    made = ("kdvideo.md",)
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

    made = {"security.md", "api/kdvideo.md", *(f"api/{name}.md" for name in GENERATED["API"])}
    made |= {f"notebooks/{path.stem}.md" for path in (ROOT / "notebooks").iterdir()}
    written = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if "docs" in page.parts[len(ROOT.parts) :]}
    assert leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]) == written | made


def test_generated_pages():
    """The API pages have every module."""
    assert "::: kdvideo.losses.nce" in GENERATED["api_page"]("losses")
    assert "[`kdvideo.create_model`][kdvideo.zoo.create.create_model]" in GENERATED["top_level_page"]()
