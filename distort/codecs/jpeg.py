"""JPEG, byte for byte as Pillow writes it (ITU-T T.81, baseline, libjpeg-turbo)."""

from __future__ import annotations

import imagecodecs

from distort.codecs import pillow
from distort.codecs.base import Codec


class Jpeg(Codec):
    name = "jpeg"
    extension = "jpg"
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

    def settings(self):
        subsampling = next((f"4:{o[1]}:{o[2]}" for o in self.chosen if o in self.exclusive), "4:2:0")
        return {"quality": self.value, "subsampling": subsampling, "optimize": "optimize" in self.chosen}

    def encode(self, rgb):
        return pillow.save(rgb, "JPEG", **self.settings())

    @staticmethod
    def decode(data, out=None):
        return imagecodecs.jpeg8_decode(data, outcolorspace="RGB", out=out)

    def versions(self):
        return pillow.versions("libjpeg_turbo") | {"decoder": imagecodecs.jpeg8_version()}
