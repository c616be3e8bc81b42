"""JPEG, byte for byte as Pillow writes it (ITU-T T.81, baseline, libjpeg-turbo)."""

from __future__ import annotations

import functools
from typing import Any

import imagecodecs
import numpy as np

from distort.codecs import pillow
from distort.codecs.base import Codec

#: Annex K.1: the luminance table that libjpeg scales by its quality, row by row.
LUMINANCE = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
    51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
    120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]  # fmt: skip
DQT, SOS, STANDALONE = 0xDB, 0xDA, {0x01, *range(0xD0, 0xD9)}


class Jpeg(Codec):
    name = "jpeg"
    extension = "jpg"
    signature = rb"\xff\xd8\xff"
    max_side = 65500
    parameter = "quality"
    low, high = 1, 100
    meaning = "libjpeg quality; 4:2:0, no Huffman optimisation"
    example = "jpeg-10"
    options = {
        "444": "full chroma resolution",
        "422": "chroma halved horizontally only",
        "optimize": "optimal Huffman tables: fewer bytes, same pixels",
    }
    exclusive = ("444", "422")
    title = "JPEG"
    colour = ("#0072b2", "#4aa8e0")
    marker = "o"
    decodes_into = True

    def settings(self) -> dict[str, Any]:
        subsampling = next((f"4:{o[1]}:{o[2]}" for o in self.chosen if o in self.exclusive), "4:2:0")
        return {"quality": self.value, "subsampling": subsampling, "optimize": "optimize" in self.chosen}

    def encode(self, rgb: np.ndarray) -> bytes:
        return pillow.save(rgb, "JPEG", **self.settings())

    @staticmethod
    def decode(data: bytes, out: np.ndarray | None = None) -> np.ndarray:
        return imagecodecs.jpeg8_decode(data, outcolorspace="RGB", out=out)

    @staticmethod
    def read_value(data: bytes) -> float | None:
        """The quality, from the file's luminance table; None for a table that libjpeg does not write."""
        return _quality_of().get(_luminance(data))

    def versions(self) -> dict[str, str]:
        return pillow.versions("libjpeg_turbo") | {"decoder": imagecodecs.jpeg8_version()}


@functools.cache
def _quality_of() -> dict[tuple[int, ...], int]:
    """Sorted luminance table -> quality, by libjpeg's jpeg_quality_scaling; the 100 sorted tables all differ."""
    found = {}
    for quality in range(1, 101):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        table = np.clip((np.array(LUMINANCE) * scale + 50) // 100, 1, 255)
        found[tuple(np.sort(table).tolist())] = quality
    return found


def _luminance(data: bytes) -> tuple[int, ...]:
    """The sorted entries of quantisation table 0 (B.2.4.1). Raises ValueError when there is none."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in STANDALONE or marker == 0xFF:
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        at += 4
        while marker == DQT and at < end:
            precision, table = data[at] >> 4, data[at] & 15
            width = 64 * (1 + (precision > 0))
            if table == 0 and precision == 0 and at + 65 <= len(data):
                return tuple(sorted(data[at + 1 : at + 65]))
            at += 1 + width
        if marker == SOS:
            break
        at = end
    raise ValueError("not a JPEG file with an 8-bit quantisation table 0")
