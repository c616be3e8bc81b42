"""Writing a report: tables and figures as files, then the page that holds them all."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pyarrow as pa
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from report import artifacts, look, names, page
from report.contents import Contents
from report.figures import FIGURES, NothingToShow, Spec
from report.tables import TABLES

DPI = 200
#: Why a table of ``Contents`` may be empty.
NEEDS = {
    "measured": "no dataset was given",
    "accuracy": "no results were given; --results adds them",
    "gains": "no expert or other model trained for a column was given; --results adds them",
    "matrix": "no model trained on a column of the dataset was given; --results adds them",
}
FILES = "report.json"  #: what a report consists of, so that the next one removes what it no longer has


def build(contents: Contents, out: Path, title: str, key: str | None = None) -> list[str]:
    """Write everything into ``out``; returns the names of the files. The same contents give the same bytes."""
    for folder in ("tables", "figures"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    written: dict[str, bytes] = {}
    tables = [table for make in TABLES if (table := make(contents))]
    for table in tables:
        for extension, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
            written[f"tables/{table.name}.{extension}"] = text.encode()
    shown: list[page.Shown] = []
    missing: list[tuple[str, str]] = []
    with mpl.rc_context(look.RC):
        for spec in FIGURES:
            if not len(getattr(contents, spec.table)):
                missing.append((spec.title, NEEDS[spec.table]))
                continue
            for name, part, where in parts(spec, contents):
                try:
                    figure = spec.draw(part)
                except NothingToShow as reason:
                    missing.append((f"{spec.title}{where}", str(reason)))
                    continue
                files = render(figure)
                written |= {f"figures/{name}.{extension}": data for extension, data in files.items()}
                written[f"figures/{name}.csv"] = csv_of(part)
                caption = f"{spec.caption} {left_out(part) if spec.rates else ''}".strip()
                shown.append(
                    page.Shown(name, spec.title + where, caption, page.inline(figure, name), files["png"])
                )
    sheets = []
    for label, dataset in contents.datasets.items():
        image, remark = artifacts.artifact_sheet(dataset, key or artifacts.first_key(dataset))
        name = "fig3-artifacts" + (f"-{slug(label)}" if len(contents.datasets) > 1 else "")
        buffer = io.BytesIO()
        image.save(buffer, "png")
        written[f"figures/{name}.png"] = buffer.getvalue()
        sheets.append(page.sheet(name, label, remark, image))
    written["index.html"] = page.render(title, contents, tables, shown, sheets, missing).encode()
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
            value for field, value in zip(spec.per, values, strict=True) if field != "dataset" or value in told
        )
        yield spec.name + suffix, pa.Table.from_pylist(members, schema=table.schema), f": {title}"


def left_out(part: pa.Table) -> str:
    """What a figure with a rate axis cannot show, and why."""
    unrated = [
        row["distortion"]
        for row in part.to_pylist()
        if row["bytes_mean"] is None and row["distortion"] != "clean" and (row.get("samples") or row.get("n"))
    ]
    if not unrated:
        return ""
    return f"Left out, having no bitstream and so no rate: {', '.join(dict.fromkeys(unrated))}."


def render(figure: Figure) -> dict[str, bytes]:
    """A figure as the bytes of an SVG and of a PNG, without dates."""
    svg, png = io.BytesIO(), io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return {"svg": svg.getvalue(), "png": png.getvalue()}


def csv_of(table: pa.Table) -> bytes:
    """The data behind a figure, unrounded; missing values are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, table.column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.to_pylist())
    return out.getvalue().encode()


def slug(text: str) -> str:
    """A part of a file name that is safe everywhere."""
    return re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-.") or "x"


def replace(out: Path, files: dict[str, bytes]) -> None:
    """Write the files and remove those of an earlier report that this one does not have."""
    listing = out / FILES
    try:
        earlier = set(json.loads(listing.read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        earlier = set()
    for name in earlier - files.keys():
        if re.fullmatch(r"(tables|figures)/[\w.-]+", str(name)):
            (out / name).unlink(missing_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    listing.write_text(json.dumps({"files": sorted(files)}, indent=1) + "\n")


def default_title(contents: Contents) -> str:
    labels = [*contents.datasets, *(table["title"] for table in contents.published)]
    return f"Report: {', '.join(labels)}"
