"""Figures for papers: the width of a column or a page, with text that stays text, of 8 points."""

import re
import shutil
import subprocess

import matplotlib as mpl
import pytest

from report import look, writing
from report.figures import FIGURES

pytestmark = pytest.mark.skipif(not shutil.which("pdffonts"), reason="no pdffonts: apt-get install poppler-utils")


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
