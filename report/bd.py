"""Bjøntegaard-delta rates between curves (VCEG-M33; package ``bjontegaard``), or why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from report.accuracy import gain_pair, method_title
from report.names import by

POINTS = 4
#: ``bd_rate`` in percent: how many more bytes the test needs for the same quality, over the qualities that both
#: reach; negative saves. ``overlap`` is that shared interval as a fraction of the whole. ``dropped`` counts points
#: that cost more than another point and are no better.
DELTAS = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "quality", "between", "arch", "curve", "anchor", "test")),
        ("bd_rate", pa.float64()),
        ("overlap", pa.float64()),
        ("anchor_points", pa.int64()),
        ("test_points", pa.int64()),
        ("dropped", pa.int64()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Delta:
    """A BD-rate in percent, or the reason why there is none."""

    bd_rate: float | None
    reason: str | None
    overlap: float | None = None
    anchor_points: int = 0
    test_points: int = 0
    dropped: int = 0


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (rate, quality) that no cheaper or equally cheap one matches, by rising rate and quality."""
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or quality > kept[-1][1]:
            kept.append((rate, quality))
    return kept


def delta(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> Delta:
    """BD-rate of ``test`` against ``anchor``, curves of (rate, quality): piecewise cubic through log10 rate.

    Points that are missing or infinite do not count, nor do those off the monotone front.
    """
    import bjontegaard

    finite = [
        [
            (rate, quality)
            for rate, quality in curve
            if None not in (rate, quality) and math.isfinite(quality) and rate > 0
        ]
        for curve in (anchor, test)
    ]
    a, t = (front(curve) for curve in finite)
    counts = {"anchor_points": len(a), "test_points": len(t), "dropped": sum(map(len, finite)) - len(a) - len(t)}
    for which, curve, whole in (("anchor", a, finite[0]), ("test", t, finite[1])):
        if len(whole) < POINTS:
            return Delta(None, f"{which} has {len(whole)} of {POINTS} points", **counts)
        if len(curve) < POINTS:
            return Delta(None, f"{which} is flat or falls: {len(curve)} of its {len(whole)} points rise", **counts)
    low, high = max(a[0][1], t[0][1]), min(a[-1][1], t[-1][1])
    overlap = max(high - low, 0) / (max(a[-1][1], t[-1][1]) - min(a[0][1], t[0][1]))
    if overlap == 0:
        return Delta(None, "no quality that both reach", 0.0, **counts)
    (rate_a, quality_a), (rate_t, quality_t) = zip(*a, strict=True), zip(*t, strict=True)
    value = bjontegaard.bd_rate(
        rate_a, quality_a, rate_t, quality_t, method="pchip", require_matching_points=False, min_overlap=0
    )
    return Delta(float(value), None, overlap, **counts)


def deltas(measured: pa.Table, accuracy: pa.Table) -> pa.Table:
    """All comparisons of a report: codecs by PSNR and by accuracy, methods and datasets by accuracy."""
    rows = [row for row in measured.to_pylist() if row["bpp_mean"]]
    found = []
    for dataset, part in by(rows, "dataset").items():
        curves = {name: _points(members, "psnr_mean") for name, members in by(part, "series").items()}
        found += _against_first({"dataset": dataset, "quality": "PSNR", "between": "codecs"}, curves)
    rows = [row for row in accuracy.to_pylist() if row["bpp_mean"]]
    for (dataset, arch, method), part in by(rows, "dataset", "arch", "method").items():
        curves = {name: _points(members, "accuracy") for name, members in by(part, "series").items()}
        where = {"dataset": dataset, "arch": arch, "curve": method_title(method)}
        found += _against_first(where | {"quality": "accuracy", "between": "codecs"}, curves)
    for (dataset, arch, series), part in by(rows, "dataset", "arch", "series").items():
        methods = by(part, "method")
        pair = gain_pair(list(methods))
        if pair:
            ordered = [pair[1], *(name for name in methods if name != pair[1])]
            curves = {method_title(name): _points(methods[name], "accuracy") for name in ordered}
            where = {"dataset": dataset, "arch": arch, "curve": series}
            found += _against_first(where | {"quality": "accuracy", "between": "methods"}, curves)
    for (arch, method, series), part in by(rows, "arch", "method", "series").items():
        curves = {name: _points(members, "accuracy") for name, members in by(part, "dataset").items()}
        where = {"arch": arch, "curve": f"{series}, {method_title(method)}"}
        found += _against_first(where | {"quality": "accuracy", "between": "datasets"}, curves)
    return pa.Table.from_pylist(found, schema=DELTAS)


def _points(rows: list[dict], quality: str) -> list[tuple[float, float]]:
    return [(row["bpp_mean"], row[quality]) for row in rows]


def _against_first(where: dict, curves: dict[str, list]) -> list[dict]:
    (anchor, points), *others = curves.items()
    return [{**where, "anchor": anchor, "test": test, **vars(delta(points, curve))} for test, curve in others]
