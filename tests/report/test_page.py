"""The whole page, as files and in a real browser."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
in_a_browser = pytest.mark.skipif(
    not BROWSER or not importlib.util.find_spec("playwright"),
    reason="no browser: apt-get install chromium && pip install playwright",
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Open a report; returns the page, what its console said, and what it asked the network for."""
    pages = []

    def visit(folder, **options):
        page = browser.new_page(viewport={"width": 1200, "height": 900}, **options)
        pages.append(page)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((folder / "index.html").as_uri())
        return page, said, [url for url in asked[1:] if not url.startswith("data:")]

    yield visit
    for page in pages:
        page.close()


def test_every_table_and_figure_is_there_in_every_format(built):
    files = {str(file.relative_to(built)) for file in built.rglob("*") if file.is_file()}
    for table in ("table1", "gains", "mcnemar", "bd-rate", "published"):
        assert {f"tables/{table}.{extension}" for extension in ("csv", "md", "tex")} <= files
    names = [
        "rate-psnr",
        "rate-ssim",
        "fig5-train-test-expert",
        "fig5-train-test-finetune",
        "fig5-difference-expert",
    ]
    names += [f"{what}-accuracy-mnasnet1_0" for what in ("fig4-rate", "quality", "psnr", "ssim", "mse")]
    for figure in names:
        assert {f"figures/{figure}.{extension}" for extension in ("svg", "png", "csv")} <= files, figure
    assert "figures/fig3-artifacts.png" in files
    listed = json.loads((built / "report.json").read_text())["files"]
    assert files == {*listed, "report.json"}
    assert (built / "index.html").stat().st_size < 3e6


def test_the_page_names_nothing_outside_itself_but_its_own_files(built):
    text = (built / "index.html").read_text()
    links = re.findall(r'(?:href|src)="([^"]*)"', text)
    assert all(link.startswith(("#", "data:", "tables/", "figures/")) for link in links)
    assert all((built / link).is_file() for link in links if link.startswith(("tables/", "figures/")))
    assert str(built.parent) not in text


def test_the_same_report_gives_the_same_bytes_and_removes_what_it_no_longer_has(curves, run, tmp_path):
    for out in ("a", "b"):
        assert run("report", "build", curves, "--out", tmp_path / out, "--title", "T").returncode == 0
    first = {file.name: file.read_bytes() for file in (tmp_path / "a").rglob("*") if file.is_file()}
    assert first == {file.name: file.read_bytes() for file in (tmp_path / "b").rglob("*") if file.is_file()}
    (tmp_path / "a" / "figures" / "mine.txt").write_text("kept")
    mine = {"title": "Mine", "source": "me", "width": 96, "height": 96, "rates": {"jpeg-10": [25, 0.7, 900]}}
    (tmp_path / "mine.json").write_text(json.dumps(mine | {"accuracy": {}}))
    done = run("report", "build", "--published", tmp_path / "mine.json", "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "a" / "figures" / "fig3-artifacts.png").exists()
    assert (tmp_path / "a" / "figures" / "mine.txt").exists()


def test_captions_say_what_a_rate_axis_leaves_out_and_why_figures_are_missing(built, curves, run, tmp_path):
    text = (built / "index.html").read_text()
    assert "Left out, having no bitstream and so no rate: noise-20, blur-1." in text
    done = run("report", "build", curves, "--out", tmp_path / "r", "--title", "<b>&")
    assert done.returncode == 0
    text = (tmp_path / "r" / "index.html").read_text()
    assert "no results were given" in text
    assert "<h1>&lt;b&gt;&amp;</h1>" in text


def test_a_chosen_key_is_on_the_sheet_and_an_unknown_one_is_refused(curves, run, tmp_path):
    done = run("report", "build", curves, "--out", tmp_path / "r", "--key", "coffee_1")
    assert done.returncode == 0, done.stderr
    assert "Key coffee_1." in (tmp_path / "r" / "index.html").read_text()
    done = run("report", "build", curves, "--out", tmp_path / "r", "--key", "nobody")
    assert done.returncode == 1
    assert "no key 'nobody'" in done.stderr


def test_compare_prints_published_beside_measured(curves, run, tmp_path):
    done = run("report", "compare", curves, "--csv", tmp_path / "c.csv")
    assert done.returncode == 0, done.stderr
    assert re.search(r"jpeg-10 +bytes +3,018 ", done.stdout)
    assert (tmp_path / "c.csv").read_text().startswith("published_in,dataset,distortion")


def test_results_after_the_first_may_stand_among_the_datasets_as_a_shell_expands_them(curves, runs, run):
    done = run("report", "compare", curves, "--results", runs, runs / "results.json")
    assert done.returncode == 0, done.stderr
    assert re.search(r"jpeg-10 +top-1 \(%\), mnasnet1_0, Expert +66\.59 ", done.stdout)


@in_a_browser
def test_the_gallery_of_the_documentation_is_made_from_a_report(built, tmp_path):
    script, docs = ROOT / ".ci/gallery.py", ROOT / "docs/gallery"
    subprocess.run([sys.executable, script, built, tmp_path], check=True)
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in docs.iterdir()}


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_loads_without_errors_or_requests_and_shows_all_figures(built, opened, scheme):
    page, said, asked = opened(built, color_scheme=scheme)
    assert (said, asked) == ([], [])
    plots = page.locator(".plot")
    assert 0 < plots.count() <= len(list((built / "figures").glob("*.svg")))
    for plot in plots.all():
        box = plot.locator("svg, img").first.bounding_box()
        assert box["width"] > 300
        assert box["height"] > 100
    ink = page.evaluate("getComputedStyle(document.querySelector('.plot svg text')).fill")
    assert (max(map(int, re.findall(r"\d+", ink))) > 128) == (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@in_a_browser
def test_hovering_a_point_and_the_arrow_keys_tell_its_numbers(built, opened):
    page, _, _ = opened(built)
    plot = page.locator("#rate-psnr .plot")
    plot.scroll_into_view_if_needed()
    points = json.loads(plot.locator("script").text_content())
    x, y, text, _ = next(point for point in points if point[2].startswith("jpeg-75\n"))
    box = plot.bounding_box()
    page.mouse.move(box["x"] + x * box["width"] + 3, box["y"] + y * box["height"] + 3)
    assert page.locator("#tip").is_visible()
    assert page.locator("#tip").text_content() == text
    plot.focus()
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").text_content() in [text for _, _, text, _ in points]


@in_a_browser
def test_a_point_under_the_pointer_is_a_drawn_marker(built, opened):
    page, _, _ = opened(built)
    plot = page.locator("#rate-psnr .plot")
    plot.scroll_into_view_if_needed()
    x, y, *_ = next(p for p in json.loads(plot.locator("script").text_content()) if p[2].startswith("jpeg-75\n"))
    box = plot.bounding_box()
    place = [box["x"] + x * box["width"], box["y"] + y * box["height"]]
    fill = page.evaluate("([x, y]) => getComputedStyle(document.elementFromPoint(x, y)).fill", place)
    assert fill == "rgb(0, 114, 178)"  # JPEG's colour


@in_a_browser
def test_buttons_hide_a_series_with_its_points_and_keys_reach_them(built, opened):
    page, said, _ = opened(built)
    figure = page.locator("#rate-psnr figure")
    plot = figure.locator(".plot")
    legend = figure.get_by_role("group", name="Shown series")
    names = legend.locator("button").all_text_contents()
    assert {"JPEG", "WebP"} <= set(names)
    jpeg = legend.get_by_role("button", name="JPEG", exact=True)
    jpeg.focus()
    page.keyboard.press("Space")
    assert jpeg.get_attribute("aria-pressed") == "false"
    drawn = plot.locator('[data-series="JPEG"]')
    assert drawn.count() >= 2  # the curve and its label
    assert not any(part.is_visible() for part in drawn.all())
    assert all(part.is_visible() for part in plot.locator('[data-series="WebP"]').all())
    points = json.loads(plot.locator("script").text_content())
    plot.focus()
    told = set()
    for _ in range(len(points)):
        page.keyboard.press("ArrowRight")
        told.add(page.locator("#tip").text_content())
    assert told == {text for _, _, text, series in points if series != "JPEG"}
    jpeg.click()
    assert all(part.is_visible() for part in drawn.all())
    assert said == []


@in_a_browser
def test_zooming_enlarges_what_is_under_the_pointer_and_points_stay_with_their_markers(built, opened):
    page, said, _ = opened(built)
    plot = page.locator("#rate-psnr .plot")
    plot.scroll_into_view_if_needed()
    plot.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert float(plot.locator("svg").get_attribute("viewBox").split()[0]) > 0
    page.keyboard.press("ArrowRight")  # moves there if the point is outside
    ring, box = page.locator(".ring").bounding_box(), plot.bounding_box()
    assert box["x"] - 9 <= ring["x"] <= box["x"] + box["width"]
    middle = [ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2]
    series = json.loads(plot.locator("script").text_content())[0][3]
    under = "([x, y]) => document.elementFromPoint(x, y).closest('[data-series]')?.dataset.series"
    assert page.evaluate(under, middle) == series
    page.keyboard.press("0")
    assert plot.locator("svg").get_attribute("viewBox").startswith("0 0 ")
    figure = page.locator("#rate-psnr figure")
    figure.get_by_role("button", name="zoom in").click()
    assert "zoomed" in plot.get_attribute("class")
    figure.get_by_role("button", name="whole figure").click()
    assert "zoomed" not in plot.get_attribute("class")
    assert said == []


@in_a_browser
def test_the_chooser_sorting_and_taps_answer(built, browser):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto((built / "index.html").as_uri())
    page.locator("#budget").fill("400")
    rows = page.locator("#answer tbody tr")
    cells = [row.locator("td").all_text_contents() for row in rows.all()]
    assert ["Marie et al. 2022, Table I", "resnet50", "bpg-51", "Expert", "400"] in [row[:5] for row in cells]
    heading = page.locator("#table1 th", has_text="bytes").last
    heading.locator("button").click()
    column = heading.evaluate("cell => cell.cellIndex")
    rows = page.locator("#table1 tbody tr").all()
    values = [row.locator("th, td").nth(column).text_content().split(" ")[0].replace(",", "") for row in rows]
    numbers = [float(value) for value in values if value]
    assert numbers == sorted(numbers)
    assert not any(values[len(numbers) :])
    plot = page.locator("#rate-psnr .plot")
    plot.scroll_into_view_if_needed()
    x, y, text, _ = json.loads(plot.locator("script").text_content())[0]
    box = plot.bounding_box()
    page.touchscreen.tap(box["x"] + x * box["width"], box["y"] + y * box["height"])
    assert page.locator("#tip").text_content() == text
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


@in_a_browser
def test_the_page_and_the_command_choose_the_same(built, curves, runs, opened, run):
    page, said, _ = opened(built)
    for unit, given, amount in (
        ("bytes", ["--bytes", "400"], "400"),
        ("bytes", ["--bytes", "3000"], "3000"),
        ("bpp", ["--bpp", "0.3"], "0.3"),
        ("kbps", ["--kbps", "80", "--pps", "10"], "80"),
    ):
        page.locator("#unit").select_option(unit)
        page.locator("#budget").fill(amount)
        shown = [row.locator("td").all_text_contents()[:7] for row in page.locator("#answer tbody tr").all()]
        done = run("report", "choose", curves, "--results", runs, "--published", "marie2022", "--top", "1", *given)
        printed = [re.split(r" {2,}", line)[:7] for line in done.stdout.splitlines()[1:]]
        assert shown
        assert sorted(shown) == sorted(printed)
    assert said == []


@in_a_browser
def test_the_picture_browser_shows_flips_with_their_files_and_predictions(built, opened):
    page, said, asked = opened(built)
    page.locator("#column").select_option(label="jpeg-10")
    page.wait_for_selector(".card")
    titles = page.locator("#list option").all_text_contents()
    assert titles[0] == "Lowest PSNR"
    assert "mnasnet1_0: Expert right, Fine-tuned wrong" in titles
    page.locator("#list").select_option(index=1)
    card = page.locator(".card").first
    card.locator("img").first.scroll_into_view_if_needed()
    assert card.locator("img").first.evaluate(
        "image => image.decode().then(() => image.naturalWidth === image.width)"
    )
    answers = card.locator("li").all_text_contents()
    assert "✓ mnasnet1_0, Expert: right" in answers
    assert "✗ mnasnet1_0, Fine-tuned: wrong" in answers
    assert said == []
    assert all("/pictures/" in url and url.startswith("file:") for url in asked)


AXE = next(Path(__file__).parents[1].glob("node_modules/axe-core/axe.min.js"), None)


@in_a_browser
@pytest.mark.skipif(AXE is None, reason="no axe-core: npm ci --prefix tests")
@pytest.mark.parametrize(("scheme", "rules"), [("light", {}), ("dark", {"runOnly": ["color-contrast"]})])
def test_an_accessibility_checker_finds_nothing(built, browser, scheme, rules):
    """On a narrow page, where tables scroll; a dark page differs in its colours alone."""
    page = browser.new_page(viewport={"width": 390, "height": 900}, color_scheme=scheme)
    page.goto((built / "index.html").as_uri())
    page.add_script_tag(path=str(AXE))
    found = page.evaluate(
        "rules => axe.run({...rules, resultTypes: ['violations']})", rules
    )  # all elements of these
    assert found["passes"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]] == []
    page.close()


@in_a_browser
def test_three_thousand_runs_make_a_page_that_is_small_and_simple_enough_to_open_at_once(
    curves, write_results, opened, run, tmp_path
):
    columns = [
        "jpeg-5",
        "jpeg-10",
        "jpeg-30",
        "jpeg-75",
        "webp-5",
        "webp-20",
        "webp-50",
        "webp-80",
        "j2k-50",
        "blur-1",
    ]
    models = [
        (method, trained_on, seed, {trained_on: 0.5 + 0.001 * seed, "jpeg-10": 0.4})
        for method in ("stability", "finetune", "expert")
        for trained_on in columns
        for seed in range(100)
    ]
    assert len(models) == 3000
    folder = write_results(tmp_path / "r", models, samples=False)
    out = tmp_path / "out"
    done = run("report", "build", curves, "--results", folder, "--out", out)
    assert done.returncode == 0, done.stderr
    assert (out / "index.html").stat().st_size < 8e6
    page, said, asked = opened(out)
    assert (said, asked) == ([], [])
    # What a browser lays out decides how fast a page opens, on any machine: 2 s are some 100,000 elements.
    assert page.evaluate("document.querySelectorAll('*').length") < 50_000
