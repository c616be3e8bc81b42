"""Codec and quality of a bitstream, from the bitstream alone: no file name, no ``column.json``."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from distort import codecs, grammar
from distort.codecs.base import Codec

LOSSLESS = "lossless"
#: How files begin that hold a picture without loss: PNG, QOI, and WebP's VP8L. A lossless JPEG XL does not tell.
_EXACT = re.compile(rb"\x89PNG\r\n\x1a\n|qoif|RIFF....WEBPVP8L", re.DOTALL)


class Header(NamedTuple):
    """What the header of a bitstream says."""

    codec: str  #: name as registered, or "lossless"
    value: float | None  #: quality, QP or compression ratio; None when the format does not tell

    def __str__(self) -> str:
        return self.codec if self.value is None else f"{self.codec}-{self.value:g}"


UNKNOWN = Header("unknown", None)


def read_header(data: bytes) -> Header:
    """Codec and VALUE of a bitstream. Raises ValueError when it is of no codec that is known here, or damaged."""
    if _EXACT.match(data):
        return Header(LOSSLESS, None)
    for name, signature in _signatures():
        if signature.match(data):
            step = codecs.load(name)
            assert issubclass(step, Codec)
            return Header(name, step.read_value(data))
    raise ValueError(f"no codec here knows a bitstream that begins with {data[:8].hex(' ') or 'nothing'}")


@functools.cache
def _signatures() -> list[tuple[str, re.Pattern[bytes]]]:
    """The codecs whose files can be recognised, and how each begins. Those without their library are left out."""
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
    """What the headers of a column's bitstreams say: its last codec, and VALUE where the format tells it.

    ``clean``, and what ends in a filter, is stored without loss. Raises KeyError when the codec is not installed.
    """
    last = grammar.split(column)[-1]
    step = None if column == "clean" else codecs.load(last.name)
    if step is None or not issubclass(step, Codec):
        return Header(LOSSLESS, None)
    if last.value is None or step.read_value is Codec.read_value:
        return Header(last.name, None)
    return Header(last.name, float(last.value))
