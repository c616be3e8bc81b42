"""Lossless formats for clean crops and for pictures without a bitstream (noise, blur).

``benchmarks/lossless.py`` compares them; its table in docs/design.md shows why WebP is the default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np

from distort.codecs import pillow
from distort.codecs.base import UnsupportedPicture

WEBP_SIDE = 16383  #: pixels, the longest side of a WebP picture


@dataclass(frozen=True)
class Lossless:
    extension: str
    encode: Callable[[np.ndarray], bytes]  #: raises UnsupportedPicture for a picture that the format cannot hold
    decode: Callable[..., np.ndarray]  #: takes ``out=``, an array to write into
    settings: dict[str, Any]
    versions: Callable[[], dict[str, str]]


def _webp(**settings: Any) -> Lossless:
    def encode(rgb: np.ndarray) -> bytes:
        height, width, _ = rgb.shape
        if max(height, width) > WEBP_SIDE:
            raise UnsupportedPicture(
                f"lossless webp takes sides of at most {WEBP_SIDE} pixels, the picture is {width}x{height}; "
                "--clean png takes larger ones"
            )
        return pillow.save(rgb, "WEBP", **settings)

    return Lossless(
        "webp",
        encode,
        imagecodecs.webp_decode,
        settings,
        lambda: pillow.versions("webp"),
    )


def _png(**settings: Any) -> Lossless:
    return Lossless(
        "png",
        lambda rgb: bytes(imagecodecs.png_encode(rgb, **settings)),
        imagecodecs.png_decode,
        settings,
        lambda: {"imagecodecs": imagecodecs.__version__, "libpng": imagecodecs.png_version()},
    )


def _jxl(**settings: Any) -> Lossless:
    return Lossless(
        "jxl",
        lambda rgb: bytes(imagecodecs.jpegxl_encode(rgb, numthreads=1, **settings)),
        lambda data, out=None: imagecodecs.jpegxl_decode(data, numthreads=1, out=out),
        settings,
        lambda: {"imagecodecs": imagecodecs.__version__, "libjxl": imagecodecs.jpegxl_version()},
    )


def _qoi() -> Lossless:
    return Lossless(
        "qoi",
        lambda rgb: bytes(imagecodecs.qoi_encode(rgb)),
        imagecodecs.qoi_decode,
        {"format": "QOI 1.0"},
        lambda: {"imagecodecs": imagecodecs.__version__, "qoi": imagecodecs.qoi_version()},
    )


#: The first is the default.
LOSSLESS = {
    "webp-fast": _webp(lossless=True, quality=0, method=0, exact=True),
    "webp": _webp(lossless=True, quality=0, method=1, exact=True),
    "qoi": _qoi(),
    "png": _png(level=6),
    "jxl": _jxl(lossless=True, effort=1, usecontainer=False),
}
