"""AVIF: an AV1 intra picture, encoded by libaom through Pillow on one thread."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np

from distort.codecs import pillow
from distort.codecs.base import Codec


class Avif(Codec):
    name = "avif"
    extension = "avif"
    signature = rb"....ftypavif"
    max_side = 32768  # libavif encodes larger pictures but does not decode them
    parameter = "quality"
    low, high = 0, 100
    meaning = "libavif quality; aom, speed 6, 4:2:0, full range"
    example = "avif-30"
    title = "AVIF"
    colour = ("#b0478f", "#dd86c0")
    marker = "P"
    decodes_into = True

    def settings(self) -> dict[str, Any]:
        return {
            "quality": self.value,
            "codec": "aom",
            "speed": 6,
            "subsampling": "4:2:0",
            "range": "full",
            "autotiling": False,
            "max_threads": 1,
        }

    def encode(self, rgb: np.ndarray) -> bytes:
        return pillow.save(rgb, "AVIF", **self.settings())

    @staticmethod
    def decode(data: bytes, out: np.ndarray | None = None) -> np.ndarray:
        return imagecodecs.avif_decode(data, numthreads=1, out=out)

    def versions(self) -> dict[str, str]:
        return pillow.versions("avif") | {"decoder": imagecodecs.avif_version()}
