"""Trained on one column, tested on another: heat maps with numbers (Marie et al. 2022, Fig. 5)."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from report import look, names
from report.figures.spec import NothingToShow

NUMBERS = 36  #: more rows or columns than this and a cell has no room for its number
LIMITS = (1, 2, 5, 10, 20, 50)  #: limit of the colour scale of differences, in points
DARK, LIGHT = "#010101", "#fefefe"  #: on cells, which keep their colours in every theme


def train_test(table: pa.Table) -> Figure:
    """Top-1 in percent of one method, from ``matrix``: rows the column trained on, columns the one tested on."""
    cells = _cells(table.to_pylist())
    return _heat_map(cells, "cividis", Normalize(0, 100), "top-1 (%)", sign="")


def difference(table: pa.Table) -> Figure:
    """Top-1 of a method minus that of its fine-tuned baseline in percentage points, from ``gains``."""
    rows = [row for row in table.to_pylist() if row["gain"] is not None]
    if not rows:
        reasons = dict.fromkeys(row["reason"] for row in table.to_pylist())
        raise NothingToShow(", ".join(filter(None, reasons)))
    cells = {(row["trained_on"], row["distortion"]): row["gain"] for row in rows}
    if not any(trained != tested for trained, tested in cells):
        raise NothingToShow("models tested on other columns than their own are needed")
    largest = max(abs(value) for value in cells.values())
    limit = next((step for step in LIMITS if step >= largest), 100)  # the same for figures that are compared
    title = f"{rows[0]['label']} − {rows[0]['baseline_label']} (points)"
    return _heat_map(cells, "PuOr", Normalize(-limit, limit), title, sign="+")


def _cells(rows: list[dict]) -> dict[tuple[str, str], float]:
    """(trained on, tested on) -> percent."""
    cells = {
        (row["trained_on"], row["distortion"]): row["accuracy"] for row in rows if row["trained_on"] is not None
    }
    if len({trained for trained, _ in cells}) < 2:
        raise NothingToShow("models trained on two columns or more are needed")
    return cells


def _heat_map(cells: dict[tuple[str, str], float], colours: str, norm: Normalize, title: str, sign: str) -> Figure:
    trained = sorted({row for row, _ in cells}, key=names.order)
    tested = sorted({column for _, column in cells}, key=names.order)
    numbered = max(len(trained), len(tested)) <= NUMBERS
    size = min(0.5, 11 / max(len(trained), len(tested)))  # inches of a cell
    width, height = max(size * len(tested), 2) + 2.2, max(size * 0.8 * len(trained), 1) + 1.6
    shrunk = min(look.scaled(width), 1.0)
    size *= shrunk
    figure = Figure((width * shrunk, height * max(shrunk, 0.6)), layout="constrained")
    ax = figure.subplots()
    palette = mpl.colormaps[colours]
    grid = [[cells.get((row, column), float("nan")) for column in tested] for row in trained]
    lines: Any = {"edgecolors": look.PAPER, "linewidth": 0.8} if numbered else {}
    mesh = ax.pcolormesh(grid, cmap=palette, norm=norm, rasterized=not numbered, **lines)
    for (row, column), value in cells.items():
        x, y = tested.index(column) + 0.5, trained.index(row) + 0.5
        look.hover(ax, [x], [y], [f"trained on {row}\ntested on {column}\n{title} {value:{sign}.2f}"])
    fitted = max(len(trained), len(tested)) <= 2 * NUMBERS
    ax.set_xticks(
        [i + 0.5 for i in range(len(tested))], tested if fitted else [""] * len(tested), rotation=45, ha="right"
    )
    ax.set_yticks([i + 0.5 for i in range(len(trained))], trained if fitted else [""] * len(trained))
    ax.set(xlabel="tested on", ylabel="trained on")
    ax.invert_yaxis()
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(mesh, ax=ax, label=title, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    points, digits = _fitting(ax, [*cells.values()], len(tested), sign) if look.on_paper() else (15 * size, 1)
    for (row, column), value in cells.items() if numbered and points else ():
        x, y = tested.index(column) + 0.5, trained.index(row) + 0.5
        red, green, blue, _ = palette(norm(value))
        ink = DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else LIGHT
        weight = "bold" if row == column else "normal"
        text = _number(value, sign, digits)
        ax.text(x, y, text, ha="center", va="center", fontsize=points, color=ink, fontweight=weight)
    return figure


def _number(value: float, sign: str, digits: int) -> str:
    return f"{value:{sign}.{digits}f}".replace("-", "−")


def _fitting(ax: Axes, values: list[float], columns: int, sign: str) -> tuple[float, int]:
    """Font size in points and decimals of the numbers of printed cells; size 0 where not even integers fit."""
    figure, points = ax.get_figure(root=True), mpl.rcParams["font.size"]
    assert figure is not None
    figure.draw_without_rendering()
    room = 72 * ax.get_window_extent().width / figure.dpi / columns
    bold = FontProperties(weight="bold")
    for digits in (1, 0):
        texts = {_number(value, sign, digits) for value in values}
        if max(TextPath((0, 0), text, points, prop=bold).get_extents().width for text in texts) + 2 < room:
            return points, digits
    return 0.0, 0
