"""Labels beside curves instead of a legend, placed where they cover nothing and are unambiguous."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from report import look
from report.look import PAPER

#: Offsets of a label from its point, in points, with its alignment.
OFFSETS = [
    (far * x, far * y, ha, va)
    for far in (1, 2, 3.5, 6)
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
MARKER = 4.5  #: points from the middle of a marker to its edge, with some air
NEAR = 14  #: points: a label farther than this from its curve gets a thin line to it


def label_curves(figure: Figure, panels: Sequence[tuple[Axes, list[tuple[Line2D, str]]]]) -> None:
    """Write each curve's name beside it, in its colour, where it covers no point, line or other label.

    Fixes the layout of the figure, so call it after everything else is drawn.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    look.fix_layout(figure)
    scale = figure.dpi / 72
    for ax, curves in panels:
        drawn = [ax.transData.transform(line.get_xydata()) for line, _ in curves]
        scene = Scene(
            ax.get_window_extent(renderer),
            np.concatenate(drawn) if drawn else np.empty((0, 2)),
            [_along(points) for points in drawn],
            [text.get_window_extent(renderer) for text in ax.texts],
            MARKER * scale,
        )
        for own, ((line, text), points) in enumerate(zip(curves, drawn, strict=True)):
            label = _label(ax, line, text, 0, OFFSETS[0], leader=False)
            size = label.get_window_extent(renderer)
            label.remove()
            spots = _candidates(points, size, scale)
            costs = [spot.cost + scene.cost(spot.box, own) for spot in spots]
            best = spots[costs.index(min(costs))]
            scene.taken.append(best.box)
            far = misleads(scene.distances(best.box), own) or math.hypot(*best.offset[:2]) > NEAR
            label = _label(ax, line, text, best.point, best.offset, leader=far)
            for artist in filter(None, (label, label.arrow_patch)):
                look.mark(artist, "label", look.series_of(line))


class Spot(NamedTuple):
    """A candidate position of a label in pixels, with its cost for being far from the end of its curve."""

    point: int
    offset: tuple
    box: Bbox
    cost: float


class Scene(NamedTuple):
    """What is drawn in a panel, in pixels."""

    frame: Bbox
    markers: np.ndarray  #: (n, 2)
    paths: list[np.ndarray]  #: points every few pixels along each curve
    taken: list[Bbox]  #: labels
    radius: float  #: of a marker

    def cost(self, box: Bbox, own: int) -> float:
        """Penalty of a label in ``box`` that covers something, leaves the frame or is nearer to another curve."""
        outside = not (
            self.frame.x0 <= box.x0
            and box.x1 <= self.frame.x1 + 4
            and self.frame.y0 <= box.y0
            and box.y1 <= self.frame.y1
        )
        covered = int((_distances(box, self.markers) < self.radius).sum())
        near = self.distances(box)
        crossed = sum(int((distances == 0).sum()) for distances in near)
        overlaps = sum(box.overlaps(other) for other in self.taken)
        return 60 * outside + 25 * covered + 4 * crossed + 40 * overlaps + 12 * misleads(near, own)

    def distances(self, box: Bbox) -> list[np.ndarray]:
        """Of each curve's points to a box."""
        return [_distances(box, path) for path in self.paths]


def misleads(near: list[np.ndarray], own: int) -> bool:
    """Whether another curve is as near to a label as its own."""
    others = [distances.min() for k, distances in enumerate(near) if k != own]
    return bool(others) and min(others) <= near[own].min()


def _distances(box: Bbox, points: np.ndarray) -> np.ndarray:
    """Pixels from each point to a box; 0 inside."""
    x = np.maximum(np.maximum(box.x0 - points[:, 0], points[:, 0] - box.x1), 0)
    y = np.maximum(np.maximum(box.y0 - points[:, 1], points[:, 1] - box.y1), 0)
    return np.hypot(x, y)


def _candidates(points: np.ndarray, size: Bbox, scale: float) -> list[Spot]:
    last = len(points) - 1
    found = []
    for i in dict.fromkeys([last, 0, *range(last - 1, 0, -1)]):
        for dx, dy, ha, va in OFFSETS:
            x = points[i][0] + dx * scale - {"left": 0, "center": 0.5, "right": 1}[ha] * size.width
            y = points[i][1] + dy * scale - {"bottom": 0, "center": 0.5, "top": 1}[va] * size.height
            box = Bbox.from_bounds(x - 1, y - 1, size.width + 2, size.height + 2)
            found.append(Spot(i, (dx, dy, ha, va), box, math.hypot(dx, dy) / 10 + 0.5 * (i != last)))
    return found


def _label(ax: Axes, line: Line2D, text: str, point: int, offset: tuple, leader: bool) -> Annotation:
    dx, dy, ha, va = offset
    label = ax.annotate(
        text,
        np.asarray(line.get_xydata())[point],
        (dx, dy),
        textcoords="offset points",
        ha=ha,
        va=va,
        color=line.get_color(),
        fontsize=min(8.5, mpl.rcParams["font.size"]),
        fontweight="bold",
        zorder=5,
        arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        if leader
        else None,
    )
    label.set_bbox({"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6})
    return label


def _along(points: np.ndarray) -> np.ndarray:
    """Points every few pixels along a curve."""
    found = [tuple(point) for point in points]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        steps = max(int(math.hypot(x1 - x0, y1 - y0) / 5), 1)
        found += [(x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps) for k in range(1, steps)]
    return np.array(found)
