"""Lossy WebP (VP8); ``lossless.py`` has the lossless form."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np

from distort.codecs import pillow
from distort.codecs.base import Codec


class WebP(Codec):
    name = "webp"
    extension = "webp"
    signature = rb"RIFF....WEBPVP8[ X]"
    max_side = 16383
    parameter = "quality"
    low, high = 0, 100
    meaning = "libwebp quality; 4:2:0, method 4"
    example = "webp-20"
    title = "WebP"
    colour = ("#9a6a00", "#dba63a")
    marker = "D"
    decodes_into = True

    def settings(self) -> dict[str, Any]:
        return {"quality": self.value, "method": 4}

    def encode(self, rgb: np.ndarray) -> bytes:
        return pillow.save(rgb, "WEBP", **self.settings())

    @staticmethod
    def decode(data: bytes, out: np.ndarray | None = None) -> np.ndarray:
        return imagecodecs.webp_decode(data, out=out)

    def versions(self) -> dict[str, str]:
        return pillow.versions("webp") | {"decoder": imagecodecs.webp_version()}
