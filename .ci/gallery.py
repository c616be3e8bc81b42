"""``make gallery``: pictures of the demo's report for the documentation, as docs/gallery/NAME.png.

Needs Chromium or Chrome, and the report of ``make demo``.

Example: python .ci/gallery.py demo/report docs/gallery
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: Name of a picture -> what is done on the page first, and the section that is shown.
VIEWS = {
    "choose": (lambda page: page.fill("#budget", "2500"), "#choose"),
    "rate": (lambda page: None, "#rate-psnr"),
    "methods": (lambda page: None, "[id^=rate-methods]"),
    "pictures": (lambda page: page.select_option("#column", label="jpeg-5"), "#pictures"),
}
#: Whether a section's pictures are there; they load when they come into sight.
LOADED = """section => [...document.querySelectorAll(`${section} img`)]
    .every(image => image.complete && image.naturalWidth || image.getBoundingClientRect().top > 2 * innerHeight)"""
SIZE = {"width": 900, "height": 620}  #: of the window, in pixels; the height is also the largest of a picture


def shot(page: Page, section: str) -> bytes:
    """A PNG with 128 colours of the top of a section."""
    page.locator(section).first.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    page.wait_for_function(LOADED, arg=section)
    whole = Image.open(io.BytesIO(page.locator(section).first.screenshot()))
    top = whole.convert("RGB").crop((0, 0, whole.width, min(whole.height, SIZE["height"])))
    written = io.BytesIO()
    top.quantize(128).save(written, "png", optimize=True)
    return written.getvalue()


def main(report: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.goto((report / "index.html").absolute().as_uri())
        for name, (prepare, section) in VIEWS.items():
            prepare(page)
            (out / f"{name}.png").write_bytes(shot(page, section))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
