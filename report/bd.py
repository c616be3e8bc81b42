"""Bjøntegaard deltas between curves of rate and quality (VCEG-M33), with intervals, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from report import intervals

POINTS = 3  #: of a curve, at least
FULL = 4  #: as the method was published; fewer are flagged
SAME = 1e-4  #: decades of rate below which two points cost the same
STEP = 1e-5  #: of numerical derivatives, in decades of rate and as a fraction of the range of qualities


@dataclass(frozen=True)
class Point:
    """One quality of a codec: mean rate, mean quality, and the source of the values per picture."""

    rate: Any  #: float; None where it is not known, which ``usable`` leaves out
    quality: Any
    source: Any = None


Curve = Sequence[Point]


@dataclass(frozen=True)
class Delta:
    """Test against anchor, or the reason why they cannot be compared.

    ``bd_rate`` in percent at equal quality; ``bd_quality`` in units of quality at equal rate; 95 % intervals.
    ``overlap`` is the shared interval of qualities as a fraction of the whole. ``flag`` is what a reader has to
    know.
    """

    bd_rate: float | None = None
    bd_rate_low: float | None = None
    bd_rate_high: float | None = None
    bd_quality: float | None = None
    bd_quality_low: float | None = None
    bd_quality_high: float | None = None
    overlap: float | None = None
    anchor_points: int = 0
    test_points: int = 0
    pooled: int = 0
    reason: str | None = None
    flag: str | None = None


def usable(curve: Curve) -> list[Point]:
    """The points with a rate and a finite quality, by rising rate."""
    kept = [p for p in curve if p.rate and p.quality is not None and math.isfinite(p.quality) and p.rate > 0]
    return sorted(kept, key=lambda point: point.rate)


def rising(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """(log rate, quality) as a rising curve: neighbours that tie or fall are one point, the mean of both.

    This is isotonic regression by pooling adjacent violators; noise moves points, it does not remove them.
    """
    blocks: list[list[float]] = []  # sums of log rate and of quality, number
    for rate, quality in sorted(points):
        blocks.append([rate, quality, 1])
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] >= blocks[-1][1] / blocks[-1][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return [(rate / n, quality / n) for rate, quality, n in blocks]


def mean_difference(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> float | None:
    """Mean of test minus anchor over their common range of x; rising curves (x, y), piecewise cubic (PCHIP)."""
    low, high = max(anchor[0][0], test[0][0]), min(anchor[-1][0], test[-1][0])
    if high <= low:
        return None
    return (integral(test, low, high) - integral(anchor, low, high)) / (high - low)


def integral(curve: Sequence[tuple[float, float]], low: float, high: float) -> float:
    """From ``low`` to ``high``, of the piecewise cubic (PCHIP) through two or more points (x, y) with x rising.

    Equals scipy's ``PchipInterpolator.integrate`` in a tenth of its time: on a few points most of that is the
    call, and a delta with its interval needs over a hundred.
    """
    total = 0.0
    for ((x, y), (x1, y1)), (slope, slope1) in zip(pairwise(curve), pairwise(_slopes(curve)), strict=True):
        if low < x1 and x < high:
            width = x1 - x
            ends = y, y1, width * slope, width * slope1
            start, stop = (max(low, x) - x) / width, (min(high, x1) - x) / width
            total += width * (_hermite_integral(stop, *ends) - _hermite_integral(start, *ends))
    return total


def _hermite_integral(t: float, y: float, y1: float, slope: float, slope1: float) -> float:
    """From 0 to ``t``, of the cubic with these values and slopes at 0 and 1."""
    square, cube, fourth = t * t / 2, t**3 / 3, t**4 / 4
    return (
        y * (t - 3 * cube + 2 * fourth)
        + y1 * (3 * cube - 2 * fourth)
        + slope * (square - 2 * cube + fourth)
        + slope1 * (fourth - cube)
    )


def _slopes(curve: Sequence[tuple[float, float]]) -> list[float]:
    """At the points, such that the cubics rise and fall only where the points do (Fritsch and Butland 1984)."""
    widths = [b[0] - a[0] for a, b in pairwise(curve)]
    rises = [(b[1] - a[1]) / width for (a, b), width in zip(pairwise(curve), widths, strict=True)]
    if len(rises) == 1:
        return rises * 2
    inside = [
        3 * (w0 + w1) / ((w0 + 2 * w1) / r0 + (2 * w0 + w1) / r1) if r0 * r1 > 0 else 0.0
        for (w0, w1), (r0, r1) in zip(pairwise(widths), pairwise(rises), strict=True)
    ]
    return [_end_slope(*widths[:2], *rises[:2]), *inside, _end_slope(*widths[:-3:-1], *rises[:-3:-1])]


def _end_slope(w0: float, w1: float, r0: float, r1: float) -> float:
    """Of the parabola through the last three points, limited to 0 and three times the last rise."""
    slope = ((2 * w0 + w1) * r0 - w0 * r1) / (w0 + w1)
    if slope * r0 <= 0:
        return 0.0
    return 3 * r0 if r0 * r1 <= 0 and abs(slope) > 3 * abs(r0) else slope


def log_rate(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> float | None:
    """Mean log10 of the ratio of rates at equal quality; curves of (log10 rate, quality)."""
    curves = [[(quality, rate) for rate, quality in rising(curve)] for curve in (anchor, test)]
    return mean_difference(*curves)


def quality(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> float | None:
    """Mean difference of quality at equal rate; curves of (log10 rate, quality)."""
    return mean_difference(*(_apart(curve) for curve in (anchor, test)))


def _apart(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Sort by rate, and merge points of nearly equal rate into their mean."""
    blocks: list[list[tuple[float, float]]] = []
    for point in sorted(curve):
        if blocks and point[0] - blocks[-1][0][0] < SAME:
            blocks[-1].append(point)
        else:
            blocks.append([point])
    return [(sum(rate for rate, _ in part) / len(part), sum(q for _, q in part) / len(part)) for part in blocks]


Variance = Callable[[Sequence[tuple[Point, float, float]]], intervals.Estimate | None]


def delta(anchor: Curve, test: Curve, variance: Variance | None = None) -> Delta:
    """BD-rate and BD-quality of ``test`` against ``anchor``.

    ``variance`` gets each point with the derivatives of a delta by its log10 rate and by its quality, and returns
    the estimate whose variance is the delta's, or None; see ``intervals``.
    """
    a, t = usable(anchor), usable(test)
    counts: dict[str, Any] = {"anchor_points": len(a), "test_points": len(t)}
    for which, curve in (("anchor", a), ("test", t)):
        if len(curve) < POINTS:
            return Delta(reason=f"{which} has {len(curve)} of {POINTS} points", **counts)
    logs = [[(math.log10(point.rate), point.quality) for point in curve] for curve in (a, t)]
    up = [rising(curve) for curve in logs]
    pooled = sum(len(curve) - len(kept) for curve, kept in zip(logs, up, strict=True))
    found = Delta(pooled=pooled, **counts)
    several = all(len(_apart(curve)) > 1 for curve in logs)
    value = _with_interval(quality, logs, (a, t), variance) if several else None
    if value is not None:
        found = replace(found, bd_quality=value[0], bd_quality_low=value[1], bd_quality_high=value[2])
    missing = None if value else "no rate that both reach" if several else "one curve has a single rate"
    found = replace(found, flag=_flag(up, pooled, missing, len(a), len(t)))
    for which, rise in zip(("anchor", "test"), up, strict=True):
        if len(rise) < 2:
            return replace(found, reason=f"{which} is flat or falls", flag=None)
    low, high = max(up[0][0][1], up[1][0][1]), min(up[0][-1][1], up[1][-1][1])
    overlap = max(high - low, 0) / (max(up[0][-1][1], up[1][-1][1]) - min(up[0][0][1], up[1][0][1]))
    found = replace(found, overlap=overlap)
    value = _with_interval(log_rate, logs, (a, t), variance)
    if value is None:
        return replace(found, reason="no quality that both reach", flag=None)
    percent = [None if end is None else 100 * (10**end - 1) for end in value]
    return replace(found, bd_rate=percent[0], bd_rate_low=percent[1], bd_rate_high=percent[2])


def _flag(up: list[list], pooled: int, missing: str | None, *counts: int) -> str | None:
    said = []
    if min(counts) < FULL:
        said.append(f"{min(counts)} points")
    if pooled:
        said.append(f"{pooled} pooled with a neighbour that is no worse at less rate")
    if min(map(len, up)) == 2:
        said.append("a straight line between two")
    if missing:
        said.append(missing)
    return ", ".join(said) or None


def _with_interval(
    function: Callable,
    logs: list[list[tuple[float, float]]],
    curves: tuple[Curve, Curve],
    variance: Variance | None,
) -> tuple[float, float | None, float | None] | None:
    value = function(*logs)
    if value is None:
        return None
    found = variance(_derivatives(function, logs, curves)) if variance else None
    if found is None or not found.n or not math.isfinite(found.pictures + found.seeds):
        return value, None, None
    half = found.half()
    return value, value - half, value + half


def _derivatives(function: Callable, logs: list, curves: tuple[Curve, Curve]) -> list[tuple[Point, float, float]]:
    """Each point with the derivatives of ``function`` by its log rate and by its quality."""
    span = max(q for curve in logs for _, q in curve) - min(q for curve in logs for _, q in curve)
    found = []
    for side in (0, 1):
        for i, point in enumerate(curves[side]):
            slopes = []
            for axis, step in ((0, STEP), (1, STEP * (span or 1.0))):
                ends = []
                for sign in (1, -1):
                    moved = [list(curve) for curve in logs]
                    place = list(moved[side][i])
                    place[axis] += sign * step
                    moved[side][i] = tuple(place)
                    end = function(*moved)
                    ends.append(math.nan if end is None else end)
                slopes.append((ends[0] - ends[1]) / (2 * step))
            by_rate, by_quality = (0.0 if math.isnan(slope) else float(slope) for slope in slopes)
            found.append((point, by_rate, by_quality))
    return found
