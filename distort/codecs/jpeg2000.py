"""JPEG 2000, byte for byte as Pillow writes it with ``quality_layers`` (ISO/IEC 15444-1, OpenJPEG)."""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np

from distort.codecs import pillow
from distort.codecs.base import Codec


class Jpeg2000(Codec):
    name = "j2k"
    extension = "jp2"
    signature = rb"\x00\x00\x00\x0cjP  "
    parameter = "compression ratio"
    low, high = 1, 10000
    integer = False
    meaning = "compression ratio: raw size / file size; reversible 5/3 wavelet, one truncated layer"
    example = "j2k-75"
    options = {"irreversible": "9/7 wavelet and YCbCr (ICT) instead of 5/3 and RCT"}
    title = "JPEG 2000"
    unit = "raw size : file size"
    symbol = "ratio"
    higher_is_better = False
    log_scale = True
    colour = ("#c44e00", "#f08a4b")
    marker = "s"
    decodes_into = True

    def settings(self) -> dict[str, Any]:
        return {
            "quality_mode": "rates",
            "quality_layers": [self.value],
            "irreversible": "irreversible" in self.chosen,
        }

    def encode(self, rgb: np.ndarray) -> bytes:
        return pillow.save(rgb, "JPEG2000", **self.settings())

    @staticmethod
    def decode(data: bytes, out: np.ndarray | None = None) -> np.ndarray:
        return imagecodecs.jpeg2k_decode(data, numthreads=1, out=out)

    @staticmethod
    def read_value(data: bytes) -> float | None:
        """The compression ratio of the file, which is close but not equal to the requested one."""
        at = data.find(b"ihdr")
        if not data.startswith(b"\0\0\0\x0cjP  ") or at < 0 or at + 14 > len(data):
            raise ValueError("not a JP2 file")
        height, width, components = struct.unpack(">IIH", data[at + 4 : at + 14])
        return width * height * components / len(data)

    def versions(self) -> dict[str, str]:
        return pillow.versions("jpg_2000") | {"decoder": imagecodecs.jpeg2k_version()}
