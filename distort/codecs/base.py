"""Base classes of codecs and filters.

A **codec** turns a picture into a bitstream and back; its rate is the length of the bitstream.
A **filter** (noise, blur) turns a picture into a picture and has no rate.
Pictures are ``uint8`` arrays of shape ``(height, width, 3)``, sRGB.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from shards.column import EXTENSION

T = TypeVar("T")


class UnsupportedPicture(ValueError):
    """The codec's format cannot hold this picture. The message goes into ``errors/``: it names size and limit.

    Any other exception from ``encode`` is treated as a fault of the codec or of the machine, not of the picture.
    """


class Step(ABC):
    """One named operation on a picture: ``NAME-VALUE[:OPTION…]``, or ``NAME:FILE`` for one that takes a file.

    A subclass sets the class variables below, which help, errors, tables and figures use. It is listed in
    ``distort.codecs.REGISTRY`` or, in another package, in the entry-point group ``codecproof.codecs``.
    """

    name: ClassVar[str]  #: as registered; letters, digits and underscores, dashes only before a letter
    parameter: ClassVar[str | None]  #: what VALUE is: "quality", "QP", "sigma"; None when there is no VALUE
    low: ClassVar[float]
    high: ClassVar[float]
    integer: ClassVar[bool] = True  #: VALUE is a whole number
    meaning: ClassVar[str]  #: one line for ``distort list``
    example: ClassVar[str]
    options: ClassVar[dict[str, str]] = {}  #: option -> what it does
    exclusive: ClassVar[tuple[str, ...]] = ()  #: options that exclude each other
    file: ClassVar[str | None] = None  #: what FILE is ("weights"); None when the step takes no file

    title: ClassVar[str] = ""  #: as tables and figures print it; the name when empty
    unit: ClassVar[str] = ""  #: of VALUE, for an axis: "grey levels", "pixels"
    symbol: ClassVar[str] = ""  #: short form of ``parameter`` for tables: "σ"; the parameter when empty
    higher_is_better: ClassVar[bool] = True  #: whether a higher VALUE distorts less
    log_scale: ClassVar[bool] = False  #: whether an axis of VALUE is logarithmic
    colour: ClassVar[tuple[str, str]] = ("#00808c", "#4fbcc7")  #: "#rrggbb" on a light page and on a dark one
    marker: ClassVar[str] = "h"  #: of points in figures, as matplotlib names it

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        if "name" in vars(cls) and "title" not in vars(cls):
            cls.title = cls.name

    def __init__(self, value: float | None = None, options: tuple[str, ...] = (), file: str | None = None):
        self.value: Any = value  #: a number; None for a step without a VALUE
        self.chosen = options
        self.path = file

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything besides the picture that determines the output, as plain JSON; a model by its sha256."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Library -> version, of every library whose version may change the output."""


class Decoder:
    """Decodes the bitstreams of one column.

    For a codec without a model this class wraps ``function``; a codec with a model returns a subclass.
    ``into``: the function takes ``out=``, an array to write the picture into.
    """

    def __init__(self, function: Callable[..., np.ndarray], into: bool = False):
        self.function, self.into = function, into

    def decode(self, data: bytes, out: np.ndarray | None = None) -> np.ndarray:
        """The uint8 (height, width, 3) picture in ``data``; it may be written into ``out`` if the shapes agree.

        Raises ValueError (or RuntimeError) when the bytes are not a picture of this codec.
        """
        return self.function(data, out=out) if self.into else self.function(data)

    def decode_batch(self, batch: Sequence[bytes], out: np.ndarray | None = None) -> Sequence[np.ndarray]:
        """The pictures of several bitstreams, equal to what ``decode`` returns for each.

        ``out``: uint8 (len(batch), height, width, 3), to write into if the shapes agree. Override this method when
        a model is faster on a batch.
        """
        return [self.decode(data, None if out is None else out[i]) for i, data in enumerate(batch)]


class Codec(Step):
    """A step with a bitstream.

    A codec with self-contained bitstreams overrides ``decode``; one that needs its settings for decoding (a model,
    say) overrides ``decoder`` instead.
    """

    extension: ClassVar[str]  #: file extension of the bitstream, without the dot
    signature: ClassVar[bytes] = b""  #: regular expression for the first bytes of its files; empty: not recognised
    max_side: ClassVar[int | None] = None  #: the longest side in pixels that the format or its library supports
    decodes_into: ClassVar[bool] = False  #: ``decode`` takes ``out=``

    def check_size(self, width: int, height: int) -> None:
        """Raise UnsupportedPicture if a picture of this size cannot be encoded; called before ``encode``."""
        if self.max_side is not None and max(width, height) > self.max_side:
            raise UnsupportedPicture(
                f"{self.name} takes sides of at most {self.max_side} pixels, the picture is {width}x{height}"
            )

    @abstractmethod
    def encode(self, rgb: np.ndarray) -> bytes:
        """The bitstream of a uint8 (height, width, 3) picture: a complete file of this format."""

    @staticmethod
    def decode(data: bytes) -> np.ndarray:
        """The uint8 (height, width, 3) picture in ``data``. Raises ValueError for bytes that are not a picture."""
        raise ValueError("this codec needs its column's settings to decode: use distort.codecs.decoder")

    @staticmethod
    def read_value(data: bytes) -> float | None:
        """The VALUE that ``data`` was encoded with, from its headers; None when the format does not record it.

        Raises ValueError when the bytes are not of this format.
        """
        return None

    @classmethod
    def decoder(cls, settings: dict, device: str = "cpu") -> Decoder:
        """A decoder for bitstreams written with ``settings``, as ``column.json`` holds them.

        ``device`` is where a model runs ("cpu", "cuda:0"); codecs without a model ignore it.
        Raises ValueError when bitstreams with these settings cannot be decoded here: with another model than the
        installed one, say.
        """
        return Decoder(cls.decode, cls.decodes_into)

    @functools.cached_property
    def own_decoder(self) -> Decoder:
        """The decoder for this codec's own settings."""
        return self.decoder(self.settings())


class Filter(Step):
    """A step without a bitstream."""

    @abstractmethod
    def apply(self, rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The filtered picture, uint8 of the same shape. ``rng`` is the only source of randomness."""


def lacking(step: type[Step]) -> str:
    """What a subclass lacks of what its base classes ask for; empty when it is complete."""
    asked = ["parameter", "meaning", "example"]
    asked += ["low", "high"] if getattr(step, "parameter", None) else []
    asked += ["extension"] if issubclass(step, Codec) else []
    missing = [*sorted(step.__abstractmethods__), *(name for name in asked if not hasattr(step, name))]
    if missing:
        return f"it lacks {', '.join(missing)}"
    if not (isinstance(step.colour, tuple) and len(step.colour) == 2):
        return f"its colour must be two, ('#rrggbb', '#rrggbb'), not {step.colour!r}"
    if issubclass(step, Codec):
        if not (isinstance(step.extension, str) and EXTENSION.fullmatch(step.extension)):
            return f"its extension must be letters and digits without a dot, not {step.extension!r}"
        if not isinstance(inspect.getattr_static(step, "decode"), staticmethod | classmethod):
            return "its decode must be a @staticmethod"
        if step.decode is Codec.decode and inspect.getattr_static(step, "decoder") is vars(Codec)["decoder"]:
            return "it lacks decode (or, if it needs its settings for decoding, decoder)"
    return ""


def once_per_picture(convert: Callable[[np.ndarray], T]) -> Callable[[np.ndarray], T]:
    """Cache the conversion of the last picture, so that all qualities of a codec share it.

    Only read-only arrays are cached: a writable one could change between two calls.
    """
    last: tuple[np.ndarray, T] | None = None

    @functools.wraps(convert)
    def shared(rgb: np.ndarray) -> T:
        nonlocal last
        if rgb.flags.writeable:
            return convert(rgb)
        remembered = last  # one tuple, so that other threads never see a half-updated cache
        if remembered is None or rgb is not remembered[0]:
            remembered = last = rgb, convert(rgb)
        return remembered[1]

    return shared
