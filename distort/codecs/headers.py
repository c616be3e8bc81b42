"""Recognise codec and quality from the bitstream alone, without file name or ``column.json``."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from distort import codecs, grammar
from distort.codecs.base import Codec

LOSSLESS = "lossless"
#: First bytes of lossless files: PNG, QOI and WebP's VP8L. A lossless JPEG XL file looks like a lossy one.
_EXACT = re.compile(rb"\x89PNG\r\n\x1a\n|qoif|RIFF....WEBPVP8L", re.DOTALL)


class Header(NamedTuple):
    """What the header of a bitstream says."""

    codec: str  #: name as registered, or "lossless"
    value: float | None  #: quality, QP or compression ratio; None when the format does not record it

    def __str__(self) -> str:
        return self.codec if self.value is None else f"{self.codec}-{self.value:g}"


UNKNOWN = Header("unknown", None)


def read_header(data: bytes) -> Header:
    """Codec and VALUE of a bitstream. Raises ValueError if no installed codec knows it, or if it is damaged."""
    if _EXACT.match(data):
        return Header(LOSSLESS, None)
    for name, signature in _signatures():
        if signature.match(data):
            step = codecs.load(name)
            assert issubclass(step, Codec)
            return Header(name, step.read_value(data))
    raise ValueError(f"no installed codec knows a bitstream that begins with {data[:8].hex(' ') or 'nothing'}")


@functools.cache
def _signatures() -> list[tuple[str, re.Pattern[bytes]]]:
    """Recognisable codecs, each with the pattern of its first bytes; codecs that cannot be loaded are skipped."""
    found = []
    for name in codecs.names():
        try:
            step = codecs.load(name)
        except ImportError:
            continue
        if issubclass(step, Codec) and step.signature:
            found.append((name, re.compile(step.signature, re.DOTALL)))
    return found


def header_of(column: str) -> Header:
    """What ``read_header`` finds in a column's bitstreams: its last codec, and VALUE if the format records it.

    ``clean`` and distortions that end in a filter are stored losslessly. Raises KeyError when the codec is not
    installed.
    """
    last = grammar.split(column)[-1]
    step = None if column == "clean" else codecs.load(last.name)
    if step is None or not issubclass(step, Codec):
        return Header(LOSSLESS, None)
    if last.value is None or step.read_value is Codec.read_value:
        return Header(last.name, None)
    return Header(last.name, float(last.value))
