"""A codec with a model: 8x8 patches projected on a learned basis, quantised and deflated.

The basis is integers (``basis.npy``, 16 x 192, scaled by 2^12): every machine computes the same bytes and pixels.
"""

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np

from distort.codecs import Codec, Decoder

MODEL = Path(__file__).with_name("basis.npy")
SIDE, SHIFT = 8, 12


def identity() -> str:
    return hashlib.sha256(MODEL.read_bytes()).hexdigest()


class Patches(Codec):
    name, extension, title = "patches", "ptch", "Learned patches"
    parameter, symbol, low, high, higher_is_better = "step size", "Δ", 1, 255, False
    meaning, example = "quantisation step of 16 learned coefficients per 8x8 patch", "patches-16"
    colour, marker = ("#8b1a4a", "#f48fb1"), "p"

    def settings(self):
        return {"step": self.value, "model": identity()}

    def versions(self):
        return {"codecproof-patches": "1.0"}

    def encode(self, rgb):
        height, width, _ = rgb.shape
        padded = np.pad(rgb, [(0, -height % SIDE), (0, -width % SIDE), (0, 0)], "edge").astype(np.int64)
        patches = padded.reshape(-(-height // SIDE), SIDE, -1, SIDE, 3).swapaxes(1, 2).reshape(-1, 192) - 128
        levels = (patches @ np.load(MODEL).astype(np.int64).T) // (self.value << SHIFT)
        return struct.pack("<HH", width, height) + zlib.compress(levels.astype("<i2").tobytes())

    @classmethod
    def decoder(cls, settings, device="cpu"):
        if settings["model"] != identity():
            raise ValueError(
                f"it was made with the model {settings['model'][:12]}, installed is {identity()[:12]}"
            )
        basis, step = np.load(MODEL).astype(np.int64), settings["step"]

        def decode(data):
            width, height = struct.unpack_from("<HH", data)
            levels = np.frombuffer(zlib.decompress(data[4:]), "<i2").reshape(-1, len(basis)).astype(np.int64)
            patches = ((levels * step + step // 2) @ basis >> SHIFT) + 128
            picture = patches.reshape(-(-height // SIDE), -1, SIDE, SIDE, 3).swapaxes(1, 2)
            picture = picture.reshape(len(picture) * SIDE, -1, 3)[:height, :width]
            return np.clip(picture, 0, 255).astype(np.uint8)

        return Decoder(decode)
