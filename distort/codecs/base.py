"""What a codec and a filter are, and nothing about any of them.

A **codec** turns a picture into a bitstream and back; its rate is the length of the bitstream.
A **filter** (noise, blur) turns a picture into a picture and has no rate.
Pictures are ``uint8`` arrays of shape ``(height, width, 3)``, sRGB.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

import numpy as np

T = TypeVar("T")


class Step(ABC):
    """One named, parametrised operation on a picture: ``NAME-VALUE[:OPTION…]``.

    A subclass states the class variables below and is listed in ``distort.codecs.REGISTRY``.
    """

    name: ClassVar[str]
    parameter: ClassVar[str]  #: what VALUE is, as an error message names it: "quality", "QP", "sigma"
    low: ClassVar[float]
    high: ClassVar[float]
    integer: ClassVar[bool] = True
    meaning: ClassVar[str]  #: one line for ``distort list``
    example: ClassVar[str]
    options: ClassVar[dict[str, str]] = {}  #: option -> what it does
    exclusive: ClassVar[tuple[str, ...]] = ()  #: options that shut each other out

    def __init__(self, value: float, options: tuple[str, ...] = ()):
        self.value = value
        self.chosen = options

    @abstractmethod
    def settings(self) -> dict:
        """Everything that decides the output besides the picture, as plain JSON."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The libraries whose version may change the output."""


class UnsupportedPicture(ValueError):
    """A codec's format cannot hold this picture. The message is a reason for ``errors/``: it names size and limit.

    Every other exception from ``encode`` is a fault of the codec or of the machine, not of the picture.
    """


class Codec(Step):
    extension: ClassVar[str]  #: file extension of the bitstream, without the dot
    max_side: ClassVar[int | None] = None  #: the longest side in pixels that the format or its library takes

    def check_size(self, width: int, height: int) -> None:
        """Raises UnsupportedPicture when a picture of this size cannot be encoded; ``encode`` relies on it."""
        if self.max_side is not None and max(width, height) > self.max_side:
            raise UnsupportedPicture(
                f"{self.name} takes sides of at most {self.max_side} pixels, the picture is {width}x{height}"
            )

    @abstractmethod
    def encode(self, rgb: np.ndarray) -> bytes:
        """The bitstream of a uint8 (height, width, 3) picture: a complete file of this format."""

    @staticmethod
    @abstractmethod
    def decode(data: bytes) -> np.ndarray:
        """The uint8 (height, width, 3) picture in ``data``. Raises ValueError when it is not one."""


class Filter(Step):
    @abstractmethod
    def apply(self, rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The filtered uint8 picture, same shape. ``rng`` is the only source of randomness."""


def once_per_picture(convert: Callable[[np.ndarray], T]) -> Callable[[np.ndarray], T]:
    """Remember the conversion of the last picture, so that all qualities of a codec share it.

    Only read-only arrays are remembered: a writable one could change between two calls.
    """
    last: tuple[np.ndarray | None, T | None] = (None, None)

    @functools.wraps(convert)
    def remembered(rgb: np.ndarray) -> T:
        nonlocal last
        if rgb.flags.writeable:
            return convert(rgb)
        picture, converted = last  # one tuple, so that threads never see half of a change
        if rgb is not picture:
            converted = convert(rgb)
            last = rgb, converted
        return converted

    return remembered
