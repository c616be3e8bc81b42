"""The style of figures: colours and markers of codecs, plain numbers on log axes, labels beside the curves.

Every codec has one colour and one marker in all figures, so nothing depends on colour alone. ``hover`` records
the page's hover texts; it draws nothing.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from distort import codecs
from distort.codecs import Step
from report import names

CLEAN = "clean"
INK, MUTED, GRID, PAPER = "#1b1b1b", "#5c5c5c", "#d9d9d9", "#fdfdfd"

CLEAN_MARKER = "*"
OTHER = Step.colour  #: of codecs that are not installed here, or say none
PANELS = 30  #: of one figure
#: Line styles of a codec's variants: of codecs alone, and of chains.
PLAIN = ("-", ":", "-.", (0, (8, 2, 1, 2, 1, 2)), (0, (3, 1, 1, 1)))
CHAINED = ("--", (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (10, 3)), (0, (1, 3)))
FILLS = ("full", "left", "bottom", "right", "top")
#: Colours that the page replaces by its own; see ``themed`` in report/page.py.
THEME = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"}

#: svg.hashsalt and the missing dates make the files the same on every run.
RC: Any = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 6,
    "svg.hashsalt": "codecproof",
    "path.simplify": False,
    "text.parse_math": False,  # names are data, not formulas
}


def colour(codec: str) -> str:
    """The colour on paper, "#rrggbb"."""
    return INK if codec == CLEAN else names.kind(codec).colour[0]


def marker(codec: str) -> str:
    """The marker's name in matplotlib."""
    return CLEAN_MARKER if codec == CLEAN else names.kind(codec).marker


def colours() -> dict[str, tuple[str, str]]:
    """Codec -> its colours on paper and on a dark page; "other" for codecs that are not installed here."""
    return {codec: names.kind(codec).colour for codec in codecs.names()} | {"other": OTHER}


#: Widths of printed figures in inches: of one of two columns, and of a page.
WIDTHS = {"column": 3.35, "page": 7.0}
PRINTED: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
}
_width: contextvars.ContextVar[float | None] = contextvars.ContextVar("width", default=None)


@contextlib.contextmanager
def printed(width: float) -> Iterator[None]:
    """Draw figures ``width`` inches wide with text of 8 points, to be placed without scaling."""
    token = _width.set(width)
    try:
        with mpl.rc_context(PRINTED):
            yield
    finally:
        _width.reset(token)


def on_paper() -> bool:
    """Whether figures are being drawn to be printed; see ``printed``."""
    return _width.get() is not None


def scaled(width: float) -> float:
    """The print scale of a figure that is ``width`` inches wide on the page."""
    return (_width.get() or width) / width


class NothingToShow(ValueError):
    """The table holds nothing for this figure, or too much; the message says which."""


def panels(count: int, shared: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, up to three in a row; ``shared`` limits compare them.

    Raises NothingToShow when there are more than a page has room for.
    """
    if count > PANELS:
        raise NothingToShow(f"{count} panels are more than a page has room for; the tables have all")
    across = 1 if count == 1 else 2 if count <= 4 else 3
    if width := _width.get():
        across = min(across, 1 if width < 4 else 2)
    down = -(-count // across)
    width, height = ((6.6, 4.2), (4.8, 3.5), (3.7, 3.0))[across - 1]
    if total := _width.get():
        width, height = total / across, max(0.68 * total / across, 2.2)
    figure = Figure((width * across, height * down), layout="constrained")
    grid = figure.subplots(down, across, sharex=shared, sharey=True, squeeze=False)
    axes = list(grid.flat)
    for ax in axes[count:]:
        ax.remove()
    for ax in axes[:count]:
        ax.tick_params(labelbottom=True, labelleft=True)
    return figure, axes[:count]


def variants(rows: Sequence[dict]) -> dict[str, int]:
    """Series -> 0 for a plain codec or its first chain, 1, 2, … for others of the same colour and marker."""
    alike: dict[tuple[str, bool], set[str]] = {}
    for row in rows:
        alike.setdefault((row["codec"], row["chained"]), set()).add(row["series"])
    found: dict[str, int] = {}
    for (codec, chained), series in alike.items():
        plain = names.kind(codec).title
        others = sorted(series - {plain})
        found |= {name: rank for rank, name in enumerate(others, 0 if chained else 1)} | {plain: 0}
    return found


def curve(
    ax: Axes, xs: Sequence[float], ys: Sequence[float], codec: str, chained: bool, variant: int = 0
) -> Line2D:
    """One series: a line through two points or more, a marker for one.

    Chains are dashed with open markers; variants of a codec have other dashes and half-filled markers.
    """
    dashes = (CHAINED if chained else PLAIN)[min(variant, len(PLAIN) - 1)]
    return ax.plot(
        xs,
        ys,
        color=colour(codec),
        marker=marker(codec),
        linestyle="none" if len(xs) < 2 else dashes,
        fillstyle=FILLS[min(variant, len(FILLS) - 1)],
        markerfacecolor=PAPER if chained and not variant else colour(codec),
        markerfacecoloralt=PAPER,
        zorder=3,
    )[0]


def bars(ax: Axes, x: float, low: float, high: float, codec: str, series: str) -> None:
    """A 95 % interval of a point of ``series``."""
    (bar,) = ax.plot(
        [x, x], [low, high], color=colour(codec), linewidth=1, marker="_", markersize=4, zorder=2, alpha=0.7
    )
    mark(bar, "interval", series)


def fix_layout(figure: Figure) -> None:
    """Lay a figure out once and for all, so that drawing it needs no further pass. Needs all but its labels."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)  # "none" would leave an engine that costs a pass and does nothing


def mark(artist: Artist, part: str, series: str) -> None:
    """Say that ``artist`` is the "curve", an "interval" or the "label" of a series, which the page can hide."""
    artist.set_gid(f"{part}:{series}")


def series_of(artist: Artist) -> str:
    """The series that ``mark`` has recorded; empty without one."""
    return (artist.get_gid() or "").partition(":")[2]


def hover(ax: Axes, xs: Sequence[float], ys: Sequence[float], texts: Sequence[str], series: str = "") -> None:
    """Record the hover texts of points, and the series that they belong to. Nothing is drawn."""
    points = [(float(x), float(y), text, series) for x, y, text in zip(xs, ys, texts, strict=True)]
    ax.hover = [*getattr(ax, "hover", []), *points]  # type: ignore[attr-defined]


def hover_points(figure: Figure) -> list[tuple[float, float, str, str]]:
    """Every recorded point as fractions of the figure from its top left corner, with its text and series."""
    fix_layout(figure)
    width, height = figure.bbox.width, figure.bbox.height
    found = []
    for ax in figure.axes:
        for x, y, text, series in getattr(ax, "hover", []):
            px, py = ax.transData.transform((x, y))
            found.append((round(px / width, 4), round(1 - py / height, 4), text, series))
    return found


def log_axis(axis: Axis, values: Sequence[float]) -> None:
    """A log axis with readable numbers: 300, 1000, 3000 over a wide range, 1-2-5 steps over a narrow one."""
    ax = axis.axes
    (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
    low, high = min(values), max(values)
    decades = math.log10(high / low) if high > low else 0.0
    pad = 10 ** max(0.06 * decades, 0.04)
    (ax.set_xlim if axis is ax.xaxis else ax.set_ylim)(low / pad, high * pad)
    subs = (1, 3) if decades > 2 else (1, 2, 5) if decades > 0.7 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=50))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.6g}"))


def bytes_axis(ax: Axes, rows: Sequence[dict]) -> None:
    """Bytes per image above an axis of bpp, when all pictures have one size, so that the two are one number."""
    sizes = {round(row["bytes_mean"] / row["bpp_mean"], 3) for row in rows if row.get("bytes_mean")}
    if len(sizes) != 1:
        return
    factor = sizes.pop()
    top = ax.secondary_xaxis("top", functions=(lambda bpp: bpp * factor, lambda count: count / factor))
    low, high = (limit * factor for limit in ax.get_xlim())
    subs = (1, 3) if high / low > 100 else (1, 2, 5)
    top.xaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=50))
    top.xaxis.set_minor_locator(ticker.NullLocator())
    top.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.6g}"))
    top.set_xlabel("bytes per image", color=MUTED)
    top.spines["top"].set_visible(True)
