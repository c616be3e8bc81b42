import csv
import io
import shutil
import statistics
import subprocess

import pytest

from report import compare, contents, published
from report.tables import TABLES
from report.tables.table import Column, Table, Text, number
from shards.dataset import Dataset


def table(name, found):
    return next(made for make in TABLES if (made := make(found)) and made.name == name)


def test_the_published_table_alone_gives_its_mean_gain(paper):
    records = table("table1", paper).records
    gains = [
        record[f"{arch}/expert/gain"]
        for record in records
        for arch in ("mnasnet1_0", "resnet50")
        if record["distortion"] not in ("clean", "jpeg-75")
    ]
    assert len(gains) == 16
    assert statistics.fmean(gains) == pytest.approx(0.615, abs=5e-4)
    assert max(gains) == pytest.approx(0.79)


def test_the_published_bytes_are_0_36_times_their_bits_per_pixel_of_224(paper):
    row = next(row for row in table("table1", paper).records if row["distortion"] == "jpeg-10")
    assert row["bpp_mean"] == pytest.approx(8 * 3018 / 224**2)


def test_missing_runs_are_blanks_and_lossless_is_infinite(collected):
    made = table("table1", collected)
    rows = {record["distortion"]: record for record in made.records}
    assert rows["webp-20"]["mnasnet1_0/expert/accuracy"] is None
    assert rows["j2k-1"]["psnr_mean"] == float("inf")
    printed = next(line for line in made.markdown().splitlines() if line.startswith("| WebP | quality 20 "))
    assert printed.endswith("|  |  |  |  |")
    read = {row["distortion"]: row for row in csv.DictReader(io.StringIO(made.csv()))}
    assert read["webp-20"]["mnasnet1_0/expert/accuracy"] == ""
    assert read["clean"]["psnr_mean"] == read["j2k-1"]["psnr_mean"] == "inf"
    assert read["noise-20"]["bytes_mean"] == ""


def test_pictures_at_infinite_psnr_are_counted_where_others_are_not(curves, collected):
    row = {**table("table1", collected).records[1], "identical": 3}
    column = next(column for column in table("table1", collected).columns if column.heading == "PSNR (dB)")
    assert "3 pictures at ∞ left out" in column.cell(row).small


def test_numbers_for_people():
    assert number(None, 2) == Text("")
    assert number(-0.004, 2, sign=True).main == "0.00"
    assert number(-1.5, 1, sign=True).main == "−1.5"
    assert number(12345.6, 0, 7.8) == Text("12,346", "± 8")


def test_hostile_names_are_escaped_in_every_format():
    made = Table("t", "a_b & 50%", "", [Column("x|y", lambda row: Text(row["v"]), "<g>")], [{"v": "<script>&_|$"}])
    assert "<script>" not in made.html(10)
    assert r"\&\_" in made.latex()
    assert r"\|" in made.markdown()


def test_published_values_stand_beside_measured_ones(curves):
    found = contents.collect([Dataset(curves)], [], [published.load("marie2022")])
    rows = {(row["distortion"], row["quantity"]): row for row in compare.compared(found).to_pylist()}
    assert rows["jpeg-10", "bytes"]["published"] == 3018
    assert rows["jpeg-10", "bytes"]["difference"] == rows["jpeg-10", "bytes"]["measured"] - 3018
    assert {name for name, _ in rows} == {"jpeg-5", "jpeg-10", "jpeg-75"}


def test_an_unknown_or_damaged_published_table_is_named(tmp_path):
    with pytest.raises(ValueError, match="no published table 'marie2023': give one of marie2022"):
        published.load("marie2023")
    (tmp_path / "mine.json").write_text('{"title": "mine"}')
    with pytest.raises(ValueError, match=r"mine\.json lacks accuracy"):
        published.load(str(tmp_path / "mine.json"))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex: apt-get install texlive-latex-recommended")
def test_the_latex_tables_fit_a_page_and_compile_with_booktabs_and_nothing_else(built, tmp_path):
    inputs = "\n".join(f"\\input{{{file.with_suffix('')}}}" for file in sorted((built / "tables").glob("*.tex")))
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}\n{inputs}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
    assert "Float too large" not in done.stdout
    assert "Overfull" not in done.stdout
