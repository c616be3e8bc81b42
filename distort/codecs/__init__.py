"""The codecs and filters by name, and decoders for the columns they write.

A new one is a subclass of ``Codec`` or ``Filter`` in its own file and one line in ``REGISTRY``; other packages
register theirs in the entry-point group ``codecproof.codecs`` (name = module:Class). A codec's module is imported
only when a distortion or a column needs it, so a worker that reads JPEG loads no HEVC library.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import numpy as np

from distort import grammar
from distort.codecs.base import Codec, Decoder, Filter, Step, UnsupportedPicture, lacking
from shards.errors import DatasetError

if TYPE_CHECKING:
    from distort.distortion import Distortion

__all__ = [
    "Codec", "ColumnDecoder", "Decoder", "Filter", "Step", "UnsupportedPicture",
    "decode", "decoder", "get", "load", "names",
]  # fmt: skip

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
    "tvl1": "distort.codecs.tv_l1:TvL1",
    "crop": "distort.codecs.crop:Crop",
}
GROUPS = ("codecproof.codecs", "distort.codecs")  #: the second is the old name of the first
LOSSLESS = "lossless "  #: prefix, in ``column.json``, of the step that stores pictures without a bitstream

#: Extension -> the codec that decodes such a file when there is no ``column.json``; see ``decoder``.
EXTENSIONS = {"jpg": "jpeg", "jp2": "j2k", "png": "lossless png", "qoi": "lossless qoi"} | {
    name: name for name in ("bpg", "hevc", "webp", "avif", "jxl")
}


@functools.cache
def _registry() -> dict[str, str]:
    """Name -> module:Class. Built-in names come first and cannot be replaced."""
    found = dict(REGISTRY)
    for group in GROUPS:
        for entry in entry_points(group=group):
            if not grammar.NAME.fullmatch(entry.name):
                raise ValueError(
                    f"a package registers a codec as '{entry.name}' ({entry.value}): a name is letters, digits "
                    "and underscores, with dashes only before a letter"
                )
            found.setdefault(entry.name, entry.value)
    return found


def names() -> list[str]:
    """All registered names, built-in ones first."""
    return list(_registry())


@functools.cache
def load(name: str) -> type[Step]:
    """The class registered as ``name``.

    Raises KeyError when there is none, ImportError when it is incomplete, or it or a library it needs cannot be
    imported.
    """
    module, _, attribute = _registry()[name].partition(":")
    registered = f"'{name}' is registered as {module}:{attribute}"
    try:
        step = getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"{registered}: {error}") from error
    if not (isinstance(step, type) and issubclass(step, Step)):
        raise ImportError(f"{registered}, which is neither a Codec nor a Filter")
    called = getattr(step, "name", None)
    if wrong := lacking(step) or ("" if called == name else f"its name is {called!r}"):
        raise ImportError(f"{registered}: {wrong}")
    return step


def get(name: str) -> Distortion:
    """The distortion called ``name``, to apply to arrays: ``codecs.get("bpg-41").roundtrip(rgb)``.

    Chains work too ("noise-20+jpeg-10"). Raises ValueError for an unknown name and suggests the nearest one.
    """
    from distort.distortion import parse  # which imports this module

    return parse(name)


class ColumnDecoder:
    """Wraps a ``Decoder``: checks its pictures and turns every failure into a ValueError that names the format."""

    def __init__(self, decoder: Decoder, extension: str):
        self._decoder, self.extension = decoder, extension

    def __call__(self, data: bytes, out: np.ndarray | None = None) -> np.ndarray:
        """The uint8 (height, width, 3) picture in a bitstream.

        If ``out`` has the picture's shape, the picture is written into it and ``out`` is returned; otherwise a new
        array is returned.
        """
        try:
            rgb = self._decoder.decode(data, out)
        except Exception as error:  # a codec of another package may raise anything on damaged data
            if out is not None:  # perhaps only its shape is wrong
                return self._into(self(data), out)
            raise ValueError(f"not a readable .{self.extension} bitstream: {error}") from error
        return self._into(self._checked(rgb), out)

    def batch(self, batch: list[bytes], out: np.ndarray | None = None) -> list[np.ndarray]:
        """The pictures of several bitstreams; ``out`` is (len(batch), height, width, 3), used as in a single call.

        If any of them fails, they are decoded one by one, so that the error raised is that of the first bad one.
        """
        places: Sequence[Any] = [None] * len(batch) if out is None else list(out)
        inner = self._decoder
        pictures: Sequence[np.ndarray]
        try:
            if type(inner) is Decoder and inner.into and out is not None:  # the short way for short bitstreams
                pictures = [inner.function(data, out=place) for data, place in zip(batch, places, strict=True)]
            else:
                pictures = inner.decode_batch(batch, out)
            return [
                rgb if rgb is place else self._into(self._checked(rgb), place)
                for rgb, place in zip(pictures, places, strict=True)
            ]
        except Exception:
            return [self(data, place) for data, place in zip(batch, places, strict=True)]

    def _checked(self, rgb: np.ndarray) -> np.ndarray:
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(
                f"the .{self.extension} bitstream decodes to {rgb.dtype} {rgb.shape}, not to uint8 RGB"
            )
        return rgb

    def _into(self, rgb: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        if out is None or rgb is out or rgb.shape != out.shape:
            return rgb
        if not np.may_share_memory(rgb, out):
            out[...] = rgb
        return out


def decoder(column: str | dict, device: str = "cpu") -> ColumnDecoder:
    """The decoder for a column, given the contents of its ``column.json``, or a file extension alone.

    An extension is not enough for a codec whose decoder needs settings. ``device``: where a model runs ("cuda:0").
    Raises DatasetError when the codec is not installed, or when it has another model than the settings name.
    """
    if isinstance(column, str):
        return ColumnDecoder(_by_extension(column), column)
    extension = column["extension"]
    steps = column.get("steps")
    try:
        made = _by_name(steps[-1]["name"], steps[-1]["settings"], device) if steps else _by_extension(extension)
    except ValueError as error:
        raise DatasetError(f"column '{column.get('column', extension)}': {error}") from error
    return ColumnDecoder(made, extension)


def _by_name(name: str, settings: dict, device: str) -> Decoder:
    if name.startswith(LOSSLESS):
        from distort.codecs import lossless

        store = lossless.LOSSLESS.get(name.removeprefix(LOSSLESS))
        if store is None:
            raise ValueError(
                f"unknown format '{name}'; this version reads lossless {', '.join(lossless.LOSSLESS)}"
            )
        return Decoder(store.decode, into=True)
    try:
        step = load(name)
    except KeyError:
        raise ValueError(
            f"the codec '{name}' is not installed here: install the package that registers it in the entry-point "
            f"group {GROUPS[0]}"
        ) from None
    except ImportError as error:
        raise ValueError(f"the codec '{name}' cannot be loaded here: {error}") from error
    if not issubclass(step, Codec):
        raise ValueError(f"'{name}' has no bitstream to decode")
    return step.decoder(settings, device)


def _by_extension(extension: str) -> Decoder:
    if extension in EXTENSIONS:
        return _by_name(EXTENSIONS[extension], {}, "cpu")
    for name in names()[len(REGISTRY) :]:
        step = load(name)
        if issubclass(step, Codec) and step.extension == extension:
            return Decoder(step.decode, step.decodes_into)
    raise ValueError(f"no installed codec decodes .{extension} files")


_decoder_of = functools.cache(lambda described: decoder(json.loads(described)))


def decode(data: bytes, column: str | dict) -> np.ndarray:
    """The uint8 (height, width, 3) picture in a bitstream; ``column`` as for ``decoder``.

    Raises ValueError when the bytes are not a picture of that format. For many pictures, keep a ``decoder``.
    """
    if not isinstance(column, str):
        steps = column.get("steps") or []
        column = {"column": column.get("column"), "extension": column["extension"], "steps": steps[-1:]}
    return _decoder_of(json.dumps(column))(data)
