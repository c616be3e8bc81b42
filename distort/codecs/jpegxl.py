"""JPEG XL (ISO/IEC 18181), a bare VarDCT codestream from libjxl."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np

from distort.codecs.base import Codec


def distance_of(quality: float) -> float:
    """Butteraugli distance for a quality of 0..100, as libjxl's own tools map it.

    Source: libjxl 0.9 and later, ``JxlEncoderDistanceFromQuality``; 100 is 0, mathematically lossless.
    """
    if quality >= 100:
        return 0.0
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25


class JpegXL(Codec):
    name = "jxl"
    extension = "jxl"
    signature = rb"\xff\x0a|\x00\x00\x00\x0cJXL "
    parameter = "quality"
    low, high = 1, 100
    meaning = "libjxl quality, as cjxl's -q; effort 7; 100 is lossless"
    example = "jxl-40"
    title = "JPEG XL"
    colour = ("#6a4fb3", "#a893ea")
    marker = "X"
    decodes_into = True

    def settings(self) -> dict[str, Any]:
        distance = distance_of(self.value)
        return {"distance": round(distance, 6), "lossless": distance == 0, "effort": 7, "usecontainer": False}

    def encode(self, rgb: np.ndarray) -> bytes:
        return bytes(imagecodecs.jpegxl_encode(rgb, numthreads=1, **self.settings()))

    @staticmethod
    def decode(data: bytes, out: np.ndarray | None = None) -> np.ndarray:
        return imagecodecs.jpegxl_decode(data, numthreads=1, out=out)

    def versions(self) -> dict[str, str]:
        return {"imagecodecs": imagecodecs.__version__, "libjxl": imagecodecs.jpegxl_version()}
