"""Parse a column's name: the curve it belongs to, and its position on it.

``jpeg-10`` is quality 10 of the series JPEG, ``jpeg-10:444`` of the series JPEG :444, and ``noise-20+jpeg-10``
of the series noise-20 + JPEG. Names are read as text (``distort.grammar``), and what tables and figures say of a
codec comes from its class, so a codec of another package looks like our own. A column whose codec is not installed
here still appears, under the codec's plain name.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from distort import codecs, grammar
from distort.codecs import Codec, Filter, Step


@dataclass(frozen=True)
class Place:
    """The curve of a distortion, and its position on it."""

    series: str  #: the curve, as it is titled
    codec: str  #: registered name of the step that varies along the curve; decides colour and marker
    value: float | None  #: quality, ratio, QP or sigma on that curve
    chained: bool


@functools.cache
def place(distortion: str) -> Place:
    """The place of a column name. The last codec of a chain varies; without one, the last filter does."""
    steps = grammar.split(distortion)
    values = {i: float(step.value) for i, step in enumerate(steps) if step.value is not None}
    if not values:
        return Place(distortion, distortion, None, len(steps) > 1)
    coded = [i for i in values if not issubclass(kind(steps[i].name), Filter)]
    varying = (coded or list(values))[-1]
    step = steps[varying]
    words = "".join(f"{grammar.OPTION}{word}" for word in step.words)
    title = f"{kind(step.name).title} {words}".rstrip()
    series = " + ".join([*map(str, steps[:varying]), title, *map(str, steps[varying + 1 :])])
    return Place(series, step.name, values[varying], len(steps) > 1)


@functools.cache
def kind(codec: str) -> type[Step]:
    """The class registered as ``codec``; one with its name and the defaults when it is not installed here."""
    try:
        return codecs.load(codec)
    except (KeyError, ImportError, OSError):
        return type("NotInstalled", (Codec,), {"name": codec, "parameter": "value"})


def axis(codec: str) -> str:
    """The label of an axis that shows the number after the dash, with its unit."""
    step = kind(codec)
    return f"{step.parameter} ({step.unit})" if step.unit else str(step.parameter)


def order(distortion: str) -> tuple:
    """Sort key of rows: clean, codec by codec as registered, then chains; the least distorting value first."""
    spot = place(distortion)
    known = ["clean", *codecs.names()]
    rank = known.index(spot.codec) if spot.codec in known else len(known)
    value = spot.value or 0.0
    return (spot.chained, rank, spot.codec, spot.series, -value if kind(spot.codec).higher_is_better else value)


def by(rows: list[dict], *fields: str) -> dict:
    """Rows grouped by one field, or by a tuple of them, in order of appearance."""
    groups: dict = {}
    for row in rows:
        key = row[fields[0]] if len(fields) == 1 else tuple(row[field] for field in fields)
        groups.setdefault(key, []).append(row)
    return groups
