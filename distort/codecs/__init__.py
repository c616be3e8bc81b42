"""The codecs and filters by name, and a decoder for every file extension they write.

A new one is a subclass of ``Codec`` or ``Filter`` in its own file and one line in ``REGISTRY``;
other packages add theirs through the entry-point group ``distort.codecs`` (name = module:Class).
Nothing is imported before it is used: a worker that writes JPEG does not load an HEVC encoder.
"""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import entry_points

import numpy as np

from distort.codecs.base import Codec, Filter, Step, UnsupportedPicture

__all__ = ["Codec", "Filter", "Step", "UnsupportedPicture", "decode", "load", "names"]

REGISTRY = {
    "jpeg": "distort.codecs.jpeg:Jpeg",
    "j2k": "distort.codecs.jpeg2000:Jpeg2000",
    "bpg": "distort.codecs.bpg:Bpg",
    "hevc": "distort.codecs.bpg:Hevc",
    "webp": "distort.codecs.webp:WebP",
    "avif": "distort.codecs.avif:Avif",
    "jxl": "distort.codecs.jpegxl:JpegXL",
    "noise": "distort.codecs.noise:Noise",
    "blur": "distort.codecs.blur:Blur",
}


@functools.cache
def _registry() -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group="distort.codecs")} | REGISTRY


def names() -> list[str]:
    """All registered names, our own first."""
    return list(REGISTRY) + [name for name in _registry() if name not in REGISTRY]


@functools.cache
def load(name: str) -> type[Step]:
    """The class registered as ``name``. Raises KeyError when there is none."""
    module, _, attribute = _registry()[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


@functools.cache
def _decoder(extension: str):
    for name in names():
        step = load(name)
        if issubclass(step, Codec) and step.extension == extension:
            return step.decode
    from distort.codecs.lossless import LOSSLESS

    for store in LOSSLESS.values():
        if store.extension == extension:
            return store.decode
    raise ValueError(f"no codec here decodes .{extension} files")


def decode(data: bytes, extension: str) -> np.ndarray:
    """The uint8 (height, width, 3) picture in a bitstream of a column with this file extension.

    Raises ValueError when the bytes are not a picture of that format.
    """
    try:
        rgb = _decoder(extension)(data)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"not a readable .{extension} bitstream: {error}") from error
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"the .{extension} bitstream decodes to {rgb.dtype} {rgb.shape}, not to uint8 RGB")
    return rgb
