"""Figures for papers: the width of a column or a page, with text that stays text, of 8 points."""

import re
import shutil
import subprocess

import matplotlib as mpl
import pytest
from matplotlib.colors import Normalize

from report import look, writing
from report.figures import FIGURES, matrix

pytestmark = pytest.mark.slow

pdf_tools = pytest.mark.skipif(not shutil.which("pdffonts"), reason="no pdffonts: apt-get install poppler-utils")


@pytest.mark.parametrize(("count", "shown"), [(4, "62.5"), (9, "62"), (24, None)])
def test_numbers_of_a_printed_heat_map_are_of_8_points_with_as_many_decimals_as_fit(count, shown):
    names = [f"jpeg-{quality}" for quality in range(1, count + 1)]
    cells = {(row, column): 62.5 for row in names for column in names}
    with mpl.rc_context(look.RC), look.printed(look.WIDTHS["column"]):
        axes = matrix._heat_map(cells, "cividis", Normalize(0, 100), "top-1 (%)", sign="").axes[0]
    assert {text.get_text() for text in axes.texts} == ({shown} if shown else set())
    assert all(text.get_fontsize() == 8 for text in axes.texts)
    assert len(axes.hover) == count**2


@pdf_tools
@pytest.mark.parametrize("name", ["rate-psnr", "rate-methods", "gain", "fig5-train-test"])
def test_a_pdf_is_as_wide_as_it_is_printed_and_holds_text(collected, name, tmp_path):
    spec = next(spec for spec in FIGURES if spec.name == name)
    _, part, _ = next(iter(writing.parts(spec, collected)))
    with mpl.rc_context(look.RC):
        files = writing.typeset(spec, part)
    for end, inches in look.WIDTHS.items():
        file = tmp_path / f"{end}.pdf"
        file.write_bytes(files[f"{end}.pdf"])
        info = subprocess.run(["pdfinfo", file], capture_output=True, text=True, check=True).stdout
        assert float(re.search(r"Page size: +([\d.]+) x", info)[1]) <= 72 * inches + 1
        fonts = subprocess.run(["pdffonts", file], capture_output=True, text=True, check=True).stdout
        assert "TrueType" in fonts
        assert "Type 3" not in fonts


def test_the_command_writes_pdfs_of_every_figure(dataset, run, tmp_path):
    done = run("report", "build", dataset, "--out", tmp_path / "out", "--pdf")
    assert done.returncode == 0, done.stderr
    figures = tmp_path / "out" / "figures"
    drawn = {file.stem for file in figures.glob("*.svg")}
    expected = {f"{name}.{width}.pdf" for name in drawn for width in look.WIDTHS}
    assert drawn
    assert {file.name for file in figures.glob("*.pdf")} == expected
