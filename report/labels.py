"""Names beside curves instead of in a legend, placed where they hide nothing and mislead nobody."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from report.look import PAPER

#: Where a label may stand from its point, in points, with its alignment.
OFFSETS = [
    (far * x, far * y, ha, va)
    for far in (1, 2, 3.5)
    for x, y, ha, va in (
        (8, 0, "left", "center"),
        (6, 5, "left", "bottom"),
        (6, -5, "left", "top"),
        (0, 7, "center", "bottom"),
        (0, -7, "center", "top"),
        (-6, 5, "right", "bottom"),
        (-6, -5, "right", "top"),
        (-8, 0, "right", "center"),
    )
]


def label_curves(figure: Figure, panels: Sequence[tuple[Axes, list[tuple[Line2D, str]]]]) -> None:
    """Write each curve's name beside it, in its colour, where it covers no point, line or other label.

    Lays the figure out for good, so call it when everything else is drawn.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax, curves in panels:
        drawn = [ax.transData.transform(line.get_xydata()) for line, _ in curves]
        paths = [_along(points) for points in drawn]
        obstacles = [point for path in paths for point in path]
        taken = [text.get_window_extent(renderer) for text in ax.texts]
        for (line, text), points, path in zip(curves, drawn, paths, strict=True):
            label = _label(ax, line, text, 0, OFFSETS[0])
            size = label.get_window_extent(renderer)
            label.remove()
            frame = ax.get_window_extent(renderer)
            best = min(
                _candidates(points, size, figure.dpi / 72),
                key=lambda spot: spot.cost + _cost(spot.box, frame, obstacles, path, taken),
            )
            taken.append(best.box)
            label = _label(ax, line, text, best.point, best.offset)
            label.set_bbox({"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6})


class Spot(NamedTuple):
    """A place where a label may stand: pixels, and what it costs for being far from the end of its curve."""

    point: int
    offset: tuple
    box: Bbox
    cost: float


def _candidates(points, size: Bbox, scale: float) -> list[Spot]:
    last = len(points) - 1
    found = []
    for i in dict.fromkeys([last, 0, *range(last - 1, 0, -1)]):
        for dx, dy, ha, va in OFFSETS:
            x = points[i][0] + dx * scale - {"left": 0, "center": 0.5, "right": 1}[ha] * size.width
            y = points[i][1] + dy * scale - {"bottom": 0, "center": 0.5, "top": 1}[va] * size.height
            box = Bbox.from_bounds(x - 1, y - 1, size.width + 2, size.height + 2)
            found.append(Spot(i, (dx, dy, ha, va), box, math.hypot(dx, dy) / 15 + 0.5 * (i != last)))
    return found


def _cost(box: Bbox, frame: Bbox, obstacles: list, own: list, taken: list[Bbox]) -> float:
    """How much a label in ``box`` hides, leaves the ``frame``, or stands nearer to another curve than its own."""
    inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 4 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    hidden = sum(box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1 for x, y in obstacles)
    misleading = _distance(box, obstacles) < _distance(box, own)
    return 4 * hidden + 40 * sum(box.overlaps(other) for other in taken) + 60 * (not inside) + 8 * misleading


def _label(ax: Axes, line: Line2D, text: str, point: int, offset: tuple) -> Annotation:
    dx, dy, ha, va = offset
    return ax.annotate(
        text,
        line.get_xydata()[point],
        (dx, dy),
        textcoords="offset points",
        ha=ha,
        va=va,
        color=line.get_color(),
        fontsize=8.5,
        fontweight="bold",
        zorder=5,
    )


def _distance(box, points: list[tuple[float, float]]) -> float:
    """Pixels from the middle of a box to the nearest of some points."""
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return min(math.hypot(px - x, py - y) for px, py in points)


def _along(points) -> list[tuple[float, float]]:
    """Points every few pixels along a curve."""
    found = [tuple(point) for point in points]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        steps = max(int(math.hypot(x1 - x0, y1 - y0) / 5), 1)
        found += [(x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps) for k in range(1, steps)]
    return found
