"""What a column's name says: which curve it belongs to, and where on it.

``jpeg-10`` is quality 10 of the series JPEG, ``jpeg-10:444`` of the series JPEG :444, and ``noise-20+jpeg-10``
of the series noise-20 + JPEG. Names are read as text, so a column made with a codec that is not installed here
still has its place.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from distort import codecs
from distort.codecs import Filter

#: Names as papers print them; any other codec is called by its own name.
TITLES = {
    "jpeg": "JPEG",
    "j2k": "JPEG 2000",
    "bpg": "BPG",
    "hevc": "HEVC",
    "webp": "WebP",
    "avif": "AVIF",
    "jxl": "JPEG XL",
    "noise": "noise",
    "blur": "blur",
}
#: The order of curves and rows: the paper's codecs, then the newer ones, then what has no bitstream.
ORDER = ["clean", *TITLES]
STEP = re.compile(r"(?P<name>.+?)-(?P<value>\d+(?:\.\d+)?)(?P<options>(?::[^:]+)*)$")


@dataclass(frozen=True)
class Place:
    """Where a distortion belongs."""

    series: str  #: the curve, as it is titled
    codec: str  #: registered name of the step that varies along the curve; decides colour and marker
    value: float | None  #: quality, ratio, QP or sigma on that curve
    chained: bool


@functools.cache
def place(distortion: str) -> Place:
    """The place of a column name. The last codec of a chain varies; without one, the last filter does."""
    steps = distortion.split("+")
    matches = [STEP.match(step) for step in steps]
    known = [i for i, match in enumerate(matches) if match]
    if not known:
        return Place(distortion, distortion, None, len(steps) > 1)
    coded = [i for i in known if not is_filter(matches[i]["name"])]
    varying = (coded or known)[-1]
    match = matches[varying]
    title = TITLES.get(match["name"], match["name"]) + (f" {match['options']}" if match["options"] else "")
    series = " + ".join([*steps[:varying], title, *steps[varying + 1 :]])
    return Place(series, match["name"], float(match["value"]), len(steps) > 1)


@functools.cache
def is_filter(codec: str) -> bool:
    """Whether a step has no bitstream. A codec that is not installed counts as a codec."""
    try:
        return issubclass(codecs.load(codec), Filter)
    except (KeyError, ImportError):
        return False


@functools.cache
def parameter(codec: str) -> str:
    """What the number after the dash is: quality, compression ratio, QP, sigma."""
    try:
        return codecs.load(codec).parameter
    except (KeyError, ImportError):
        return "value"


def axis(codec: str) -> str:
    """The label of an axis that shows the number after the dash, with its unit."""
    units = {"noise": " (grey levels)", "blur": " (pixels)", "j2k": " (higher distorts more)"}
    return parameter(codec) + units.get(codec, "")


def order(distortion: str) -> tuple:
    """Sort key of rows: codec by codec as in ``ORDER``, chains last, the least distorting value first."""
    spot = place(distortion)
    known = ORDER.index(spot.codec) if spot.codec in ORDER else len(ORDER)
    value = spot.value or 0.0
    falling = parameter(spot.codec) == "quality"  # 75 distorts less than 10; a ratio, a QP or a sigma the reverse
    return (spot.chained, known, spot.codec, spot.series, -value if falling else value)


def by(rows: list[dict], *fields: str) -> dict:
    """Rows grouped by one field, or by a tuple of them, in order of appearance."""
    groups: dict = {}
    for row in rows:
        key = row[fields[0]] if len(fields) == 1 else tuple(row[field] for field in fields)
        groups.setdefault(key, []).append(row)
    return groups
