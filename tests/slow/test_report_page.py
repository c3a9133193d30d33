"""The report page in headless Chromium: sorting, filtering, hovering, by mouse and by keys, and nothing sent anywhere.

The pictures in docs/images/ are those of the demo's zoo and runs, filtered as `test_looks` does it:

    kdvideo embed data --model zoo/weights/c3d_w8*.safetensors --out features.parquet     # in output/demo
    kdvideo report --out r.html --zoo zoo --runs runs --retrieval features.parquet data
    KDVIDEO_REPORT=r.html KDVIDEO_SCREENSHOTS=docs/images pytest -m slow -k looks tests/slow/test_report_page.py
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import simplejson
import torch
from PIL import Image

from kdvideo.cli import main
from kdvideo.inference.gallery import GalleryFacts, write_features
from kdvideo.inference.videos import VideoOutput
from kdvideo.zoo.manage import entry_states

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.slow

HOSTILE = "</script><img src=http://127.0.0.1:9/x onerror=document.title='hacked'><b>%{y}"


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Debian's Chromium, which Playwright drives."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])  # containers run as root
        yield running
        running.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path) -> Path:
    """The packaged zoo, a gallery and two runs, one of a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    for number, name in enumerate(("good", "<img src=x onerror=alert(1)>%{x}")):
        run = folder / "runs" / name
        run.mkdir(parents=True)
        lines = [{"epoch": epoch, "pretext_accuracy": 0.2 + 0.1 * epoch + number / 100} for epoch in (1, 2, 3)]
        (run / "metrics.jsonl").write_text("".join(simplejson.dumps(line) + "\n" for line in lines))
    entries = folder / "zoo" / "entries"
    entries.mkdir(parents=True)
    (state,) = [state for state in entry_states() if state.entry.name == "x3d_m.pytorchvideo_k400"]
    values = simplejson.loads(state.entry.to_json()) | {"name": "hostile.entry", "dataset": HOSTILE, "licence": HOSTILE}
    (entries / "hostile.entry.json").write_text(simplejson.dumps(values))
    videos = sorted(tiny_dataset.rglob("*.avi"))[::3]
    outputs = [VideoOutput(path, 64, torch.rand(1, 8)) for path in videos]
    facts = GalleryFacts(HOSTILE, "ab" * 32, 1)
    write_features(folder / "features.parquet", outputs, root=tiny_dataset, facts=facts)
    out = folder / "report.html"
    retrieval = ["--retrieval", str(folder / "features.parquet"), str(tiny_dataset)]
    options = ["--zoo", str(folder / "zoo"), "--runs", str(folder / "runs"), *retrieval]
    assert main(["report", "--out", str(out), *options]) == 0
    return out


@pytest.fixture
def page(browser: object, report: Path) -> Iterator[object]:
    """The page, loaded; afterwards nothing was complained of and nothing but the file was asked for."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    said, asked = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(report.as_uri())
    opened.wait_for_selector("#scores .point")
    yield opened
    assert said == []
    assert asked == [report.as_uri()]
    assert opened.title() == "kdvideo: models and runs"
    context.close()


def names(page: object) -> list[str]:
    """Of the models that are shown, in their order."""
    return page.locator("#table tbody:visible .more").all_inner_texts()


def column(page: object, number: int) -> list[float]:
    """A column's values, top to bottom; those without one are left out."""
    cells = page.locator(f"#table tbody:visible tr:first-child > :nth-child({number})").all_inner_texts()
    return [float(text) for text in cells if text != "-"]


def test_sort(page: object):
    """A click sorts up, a second one down; Enter does the same; missing values come last; headers say what holds."""
    assert len(names(page)) == len(entry_states()) + 1
    params = page.get_by_role("button", name="Params, M")
    for direction in ("ascending", "descending"):
        params.click()
        assert column(page, 3) == sorted(column(page, 3), reverse=direction == "descending")
        assert page.locator("[data-key=params]").get_attribute("aria-sort") == direction
    score = page.locator("[data-key=score] button")
    score.focus()
    for reverse in (False, True):
        page.keyboard.press("Enter")
        assert column(page, 2) == sorted(column(page, 2), reverse=reverse)
        assert page.locator("#table tbody .score").last.inner_text() == "-"
    assert page.locator("[data-key=params]").get_attribute("aria-sort") == "none"


def test_filter(page: object):
    """By words and by origin; the count and the plot follow."""
    points = page.locator("#scores .point")
    everything = points.count()
    page.get_by_label("Filter").fill("r2plus1d 400")
    assert all("r2plus1d" in name for name in names(page))
    assert page.locator("#count").inner_text() == f"{len(names(page))} of {len(entry_states()) + 1} models"
    page.wait_for_function(f"document.querySelectorAll('#scores .point').length < {everything}")
    page.get_by_label("Filter").fill("no such model")
    assert names(page) == []
    page.get_by_label("Filter").fill("")
    page.locator("#origin").select_option("kdvideo")
    own = [state.entry for state in entry_states() if state.entry.source == "trained with kdvideo"]
    assert sorted(names(page)) == sorted(entry.name for entry in own)
    page.get_by_label("Metric").first.select_option("pretext_accuracy")
    scores = page.locator("#table tbody:visible .score").all_inner_texts()
    assert sorted(scores) == sorted(f"{entry.metrics['pretext_accuracy']:.3f}" for entry in own)
    assert page.locator("[data-key=score]").inner_text().startswith("pretext accuracy")


def test_hover(page: object):
    """A point shows its entry, markup of others as text; a curve's point its run, epoch and value."""
    page.get_by_label("Metric").first.select_option("k400_top1")
    page.get_by_label("Filter").fill("hostile")
    page.wait_for_function("document.querySelectorAll('#scores .point').length === 1")
    page.locator("#scores .point").hover(force=True)
    label = page.locator("#scores .hoverlayer")
    playwright.expect(label).to_contain_text("hostile.entry")
    playwright.expect(label).to_contain_text("k400 top1 0.759")
    playwright.expect(label).to_contain_text("<img src=http://127.0.0.1:9/x")
    page.locator("#plot-curves").scroll_into_view_if_needed()
    page.locator("#plot-curves .trace").nth(0).locator(".point").nth(1).hover(force=True)
    label = page.locator("#plot-curves .hoverlayer")
    playwright.expect(label).to_contain_text("epoch 2: 0.4")
    playwright.expect(label).to_contain_text("<img src=x onerror=alert(1)>%{x}")


def test_details(page: object):
    """Enter on a name opens what is known of it: the lines to load and to download."""
    page.get_by_role("button", name="x3d_m.pytorchvideo_k400").focus()
    page.keyboard.press("Enter")
    details = page.locator("#table tbody:has-text('x3d_m.pytorchvideo_k400') .details:visible")
    playwright.expect(details).to_contain_text('kdvideo.create_model("x3d_m.pytorchvideo_k400", pretrained=True)')
    playwright.expect(details).to_contain_text("kdvideo zoo fetch x3d_m.pytorchvideo_k400")
    link = details.get_by_role("link")
    assert link.get_attribute("href").startswith("https://dl.fbaipublicfiles.com/pytorchvideo/")
    page.keyboard.press("Enter")
    assert details.count() == 0


def test_keyboard_reaches_everything(page: object):
    """Tabs lead through links, controls, headers and names, each with a visible outline."""
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    for target in ("Skip to the models", "filter", "origin", "metric", "cost", "Name"):
        assert target in reached


def test_pictures_of_neighbours(page: object):
    """They are in the file, and decode."""
    widths = page.eval_on_selector_all("#retrieval img", "images => images.map(image => image.naturalWidth)")
    assert widths == [96] * 36


@pytest.mark.parametrize(
    ("name", "scheme", "width"), [("light", "light", 1200), ("dark", "dark", 1200), ("narrow", "light", 420)]
)
def test_looks(name: str, scheme: str, width: int, browser: object, report: Path, tmp_path: Path):
    """Dark is dark, light is light, and a narrow window has no page-wide scrolling."""
    source = Path(os.environ.get("KDVIDEO_REPORT") or report)
    folder = Path(os.environ.get("KDVIDEO_SCREENSHOTS") or tmp_path)
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(source.resolve().as_uri())
    page.wait_for_selector("#scores .point")
    red = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert (red < 60) == (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture = folder / f"report-{name}.png"
    page.locator("#origin").select_option("kdvideo")
    page.locator("#table tbody:visible .more").first.click()
    page.wait_for_timeout(500)  # until the plot has been drawn again
    height = page.locator("#retrieval").bounding_box()["y"]
    page.screenshot(path=picture, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})
    neighbours = folder / f"report-retrieval-{name}.png"
    page.locator("#retrieval").screenshot(path=neighbours)
    for path in (picture, neighbours):
        Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)  # a third of the size
        assert path.stat().st_size > 5_000
    page.close()
