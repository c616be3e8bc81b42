"""Writing a report: tables and figures as files, then the page that holds them all."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from report import artifacts, look, names, page, pictures
from report.contents import Contents
from report.figures import FIGURES, NothingToShow, Spec
from report.tables import TABLES
from report.tables.table import cell
from shards.atomic import require_writable
from shards.plan import dataset_around

DPI = 200
#: Why a table of ``Contents`` may be empty.
NEEDS = {
    "measured": "no dataset was given",
    "metrics": "no further metrics were measured; 'distort measure' adds them",
    "accuracy": "no results were given; --results adds them",
    "calibration": "no results with confidences were given; 'train evaluate' writes them now",
    "own_gains": "no expert or other model trained for a column was given; --results adds them",
    "matrix": "no model trained on a column of the dataset was given; --results adds them",
}
FILES = "report.json"  #: lists the files of a report, so that the next one can remove stale ones


def require_free(out: Path) -> None:
    """Raises ValueError if ``out`` cannot be written, lies in a dataset, or holds other things than a report."""
    require_writable(out)
    if folder := dataset_around(out.absolute()):
        raise ValueError(f"{out} is a dataset or inside one ({folder}): choose another --out")
    there = [] if (out / FILES).is_file() or not out.exists() else sorted(os.listdir(out))
    if foreign := next((name for name in there if not name.startswith(".")), None):
        raise ValueError(f"{out / foreign} exists but was not written by a report: choose another --out")


def build(
    contents: Contents, out: Path, title: str, key: str | None = None, pdf: bool = False, shown_pictures: int = 4
) -> list[str]:
    """Write everything into ``out``; returns the names of the files. The same contents give the same bytes.

    Everything is made before anything is written, so a report that fails leaves the earlier one as it was.
    ``pdf`` adds every figure as PDFs for papers; ``shown_pictures`` is the length of a list in the picture
    browser.
    """
    require_free(out)
    written: dict[str, bytes] = {}
    tables = [table for make in TABLES if (table := make(contents))]
    for table in tables:
        for extension, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
            written[f"tables/{table.name}.{extension}"] = text.encode()
    shown: list[page.Shown] = []
    taken: set[str] = set()
    missing: list[tuple[str, str]] = []
    with mpl.rc_context(look.RC):
        for spec in FIGURES:
            if not len(getattr(contents, spec.table)):
                missing.append((spec.title, NEEDS[spec.table]))
                continue
            for name, part, where in parts(spec, contents):
                name = free(name, taken)
                try:
                    figure = spec.draw(part)
                except NothingToShow as reason:
                    missing.append((f"{spec.title}{where}", str(reason)))
                    continue
                files = render(figure) | (typeset(spec, part) if pdf else {})
                written |= {f"figures/{name}.{extension}": data for extension, data in files.items()}
                written[f"figures/{name}.csv"] = csv_of(part)
                caption = f"{spec.caption} {left_out(part) if spec.rates else ''}".strip()
                shown.append(
                    page.Shown(
                        name, spec.title + where, caption, page.inline(figure, name), files["png"], [*files, "csv"]
                    )
                )
    sheets = []
    for label, dataset in contents.datasets.items():
        image, remark = artifacts.artifact_sheet(dataset, key or artifacts.first_key(dataset))
        name = "fig3-artifacts" + (f"-{slug(label)}" if len(contents.datasets) > 1 else "")
        buffer = io.BytesIO()
        image.save(buffer, "png")
        written[f"figures/{name}.png"] = buffer.getvalue()
        sheets.append(page.sheet(name, label, remark, image))
    if len(contents.confusion):
        written["tables/confusion.parquet"] = parquet_of(contents.confusion)
    browser = pictures.browser(contents, shown_pictures)
    written |= browser.files
    written["index.html"] = page.render(title, contents, tables, shown, sheets, missing, browser.columns).encode()
    replace(out, written)
    return sorted(written)


def parts(spec: Spec, contents: Contents) -> Iterator[tuple[str, pa.Table, str]]:
    """File name, rows and title suffix of each figure of a spec: one, or one per value of ``spec.per``."""
    table: pa.Table = getattr(contents, spec.table)
    if not spec.per:
        yield spec.name, table, ""
        return
    rows = table.to_pylist()
    groups = names.by(rows, *spec.per)
    constant = {field for field in spec.per if len({row[field] for row in rows}) == 1 and field != "method"}
    for values, members in groups.items():
        values = values if isinstance(values, tuple) else (values,)
        told = [value for field, value in zip(spec.per, values, strict=True) if field not in constant]
        suffix = "".join(f"-{slug(value)}" for value in told)
        title = ", ".join(
            members[0]["label"] if field == "method" else value
            for field, value in zip(spec.per, values, strict=True)
            if field != "dataset" or value in told
        )
        yield spec.name + suffix, pa.Table.from_pylist(members, schema=table.schema), f": {title}"


def left_out(part: pa.Table) -> str:
    """A sentence naming the distortions without a rate, which a figure with a rate axis cannot show."""
    unrated = [
        row["distortion"]
        for row in part.to_pylist()
        if row["bytes_mean"] is None and row["distortion"] != "clean" and (row.get("samples") or row.get("n"))
    ]
    if not unrated:
        return ""
    return f"Left out, having no bitstream and so no rate: {', '.join(dict.fromkeys(unrated))}."


def render(figure: Figure) -> dict[str, bytes]:
    """A figure as SVG and PNG without dates: file name ending -> bytes."""
    svg, png = io.BytesIO(), io.BytesIO()
    look.fix_layout(figure)
    FigureCanvasAgg(figure)
    figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return {"svg": svg.getvalue(), "png": png.getvalue()}


def typeset(spec: Spec, part: pa.Table) -> dict[str, bytes]:
    """A figure as PDFs one column and one page wide: file name ending -> bytes. Text stays text."""
    files = {}
    for name, width in look.WIDTHS.items():
        with look.printed(width):
            buffer = io.BytesIO()
            spec.draw(part).savefig(buffer, format="pdf", metadata={"CreationDate": None})
            files[f"{name}.pdf"] = buffer.getvalue()
    return files


def csv_of(table: pa.Table) -> bytes:
    """The data behind a figure, unrounded; missing values are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, table.column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in table.to_pylist())
    return out.getvalue().encode()


def parquet_of(table: pa.Table) -> bytes:
    """For a table of up to millions of rows."""
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def slug(text: str) -> str:
    """A part of a file name that is safe everywhere."""
    return re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-.") or "x"


def free(name: str, taken: set[str]) -> str:
    """``name``, with a number appended if it is taken: different names may have the same slug."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found)
    return found


def replace(out: Path, files: dict[str, bytes]) -> None:
    """Publish the files, and remove those of an earlier report that this one does not write.

    All are first written to temporary files, then renamed, so a full disk leaves the earlier report whole.
    """
    files = {**files, FILES: (json.dumps({"files": sorted(files)}, indent=1) + "\n").encode()}
    listing = out / FILES
    try:
        earlier = set(json.loads(listing.read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        earlier = set()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=out) as staged:
        for name, data in files.items():
            place = Path(staged, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        for name in files:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
        for name in sorted(files, key=lambda name: (name == "index.html", name)):
            os.replace(Path(staged, name), out / name)
    for name in earlier - files.keys():
        if re.fullmatch(r"(tables|figures|pictures)/[\w.-]+", str(name)):
            (out / name).unlink(missing_ok=True)


def default_title(contents: Contents) -> str:
    labels = [*contents.datasets, *(table["title"] for table in contents.published)]
    return f"Report: {', '.join(labels)}"
