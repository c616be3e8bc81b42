"""The page: one self-contained HTML file; its figures are SVG in the page's colours."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import jinja2
import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from report import choose, look
from report.contents import Contents
from report.tables import Table

ROWS = 300  #: rows of a table on the page; the files hold all
POINTS = 5000  #: hover points of one figure
SVG_LIMIT = 400_000  #: bytes of one inline SVG; a larger one is shown as its PNG
#: Fields of a candidate for the chooser, by what ``accuracy`` calls them.
CHOICE = {name: name for name in ("accuracy", "low", "high")}
CHOICE |= {"bytes": "bytes_mean", "bpp": "bpp_mean", "psnr": "psnr_mean"}
CANDIDATES = 5000
BUDGET = 2_400_000  #: bytes of all figures on the page; further ones are links


@dataclass(frozen=True)
class Inline:
    """An SVG for the page and its hover points: (left, top, text, series), positions as fractions."""

    svg: str
    points: list[tuple[float, float, str, str]]


@dataclass(frozen=True)
class Shown:
    """A figure of the page."""

    name: str
    title: str
    caption: str
    inline: Inline
    png: bytes
    files: Sequence[str] = ()  #: ends of the names of its files

    @property
    def picture(self) -> Markup:
        if len(self.inline.svg) <= SVG_LIMIT:
            return Markup(self.inline.svg)
        return _image(self.png, "png", self.title)

    @property
    def points(self) -> Markup:
        return script_json(self.inline.points)

    @property
    def size(self) -> int:
        return len(self.picture) + len(self.points)


@dataclass(frozen=True)
class Sheet:
    name: str
    title: str
    caption: str
    picture: Markup


def inline(figure: Figure, name: str) -> Inline:
    """A figure as SVG with real text and with the page's colour variables in place of its own colours."""
    points = look.hover_points(figure)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="(?:curve|interval|label):([^"]+)"', r'<g data-series="\1"', svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # matplotlib numbers its groups anew in every figure
    svg = re.sub(
        r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg ([^>]*?)height="[^"]*" ', r"<svg \1\2", svg, count=1
    )
    svg = re.sub(r'(<svg [^>]*?)\s(?:width|height)="[^"]*pt"', r"\1", svg, count=1)
    return Inline(themed(svg), points if len(points) <= POINTS else [])


def themed(svg: str) -> str:
    """Replace themed colours by the page's CSS variables, with the original as the fallback."""
    variables = dict(look.THEME)
    variables |= {light: f"--c-{codec}" for codec, (light, _) in reversed(look.colours().items())}
    for colour, variable in variables.items():
        svg = svg.replace(f": {colour}", f": var({variable})")
    return svg


def palette(dark: bool) -> str:
    """The codecs' colours as CSS variables."""
    return "".join(f"--c-{codec}:{colours[dark]};" for codec, colours in look.colours().items())


def sheet(name: str, label: str, remark: str, image: Image.Image) -> Sheet:
    """The artifact sheet for the page: lossless, since it is about artifacts."""
    buffer = io.BytesIO()
    image.save(buffer, "webp", lossless=True, method=4)
    title = f"Artifacts (Fig. 3): {label}"
    caption = f"{remark} Bytes of the file, PSNR and SSIM of this picture under each distortion."
    return Sheet(name, title, caption, _image(buffer.getvalue(), "webp", title))


def _image(data: bytes, kind: str, alt: str) -> Markup:
    encoded = base64.b64encode(data).decode()
    return Markup('<img src="data:image/{};base64,{}" alt="{}">').format(kind, Markup(encoded), alt)


def render(
    title: str,
    contents: Contents,
    tables: Sequence[Table],
    figures: Sequence[Shown],
    sheets: Sequence[Sheet],
    missing: Sequence[tuple[str, str]],
    columns: Sequence[tuple[str, str, str]] = (),
) -> str:
    """The whole page."""
    here = files("report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    room, kept = BUDGET, set()
    for figure in figures:
        if figure.size <= room:
            room -= figure.size
            kept.add(figure.name)
    return environment.from_string(here.joinpath("page.html").read_text("utf-8")).render(
        title=title,
        style=Markup(
            here.joinpath("page.css")
            .read_text("utf-8")
            .replace("/*light*/", palette(False))
            .replace("/*dark*/", palette(True))
        ),
        script=Markup(here.joinpath("page.js").read_text("utf-8")),
        facts=facts(contents),
        notes=contents.notes,
        tables=[(table, Markup(table.html(ROWS)), max(len(table.records) - ROWS, 0)) for table in tables],
        figures=figures,
        kept=kept,
        sheets=sheets,
        missing=missing,
        deploy=deployable(contents),
        columns=columns,
        sources=contents.published,
        settings=settings(contents),
    )


def deployable(contents: Contents) -> Markup | None:
    """The chooser's candidates as JSON: every tested column with a rate, cheapest first."""
    rows = [
        {
            "dataset": row["dataset"],
            "network": row["arch"],
            "distortion": row["distortion"],
            "method": row["label"],
            **{name: row[field] for name, field in CHOICE.items()},
        }
        for row in choose.candidates(contents.accuracy)
    ]
    return script_json(rows[:CANDIDATES]) if rows else None


def script_json(value: object) -> Markup:
    """JSON for a script element, with "<" escaped: "</script" would end it, "<!--" would keep it open."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def facts(contents: Contents) -> list[str]:
    """What was measured, in a few words each."""
    found = []
    for label, dataset in contents.datasets.items():
        rows = [row for row in contents.measured.to_pylist() if row["dataset"] == label]
        bad = sum(map(dataset.bad_pictures, dataset.shards_with_errors()))
        unread = f" ({bad:,} of {dataset.plan.pictures:,} pictures could not be read)" if bad else ""
        found.append(
            f"{label}: {rows[0]['samples']:,} samples{unread}, {len(rows) - 1} distortions, "
            f"plan {dataset.plan.hash[:12]}"
        )
    if len(contents.runs):
        models = {
            (row["weights"], row["arch"], row["method"], row["trained_on"], row["seed"])
            for row in contents.runs.to_pylist()
        }
        found.append(f"{len(models):,} models, {len(contents.runs):,} evaluations")
    found += [f"{table['title']}: {table.get('note', '')}" for table in contents.published]
    return found


def settings(contents: Contents) -> list[tuple[str, str]]:
    """Everything needed to reproduce the columns: crops, encoder settings, library versions."""
    found = []
    for label, dataset in contents.datasets.items():
        found.append((label, _plain(dataset.plan.settings)))
        for name, column in dataset.columns.items():
            steps = column.get("steps") or []
            text = "; ".join(
                f"{step['name']}: {_plain(step['settings'])} [{_plain(step['versions'])}]" for step in steps
            )
            found.append((f"{label}/{name}", text or f"lossless, .{column['extension']}"))
    return found


def _plain(values: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
