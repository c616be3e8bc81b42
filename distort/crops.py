"""From a picture to its clean crops, before any distortion."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import PIL
from PIL import Image

from distort.distortion import Cut, generator
from distort.pictures import MAX_PIXELS, BadPicture

SIDE = 224
MOST = 1000  #: random crops of a picture
Draw = Callable[[], np.random.Generator]  #: makes the generator of one crop; only random crops call it


@dataclass(frozen=True)
class Crop:
    """A way to crop, called ``name``; it makes ``count`` clean crops of every picture."""

    name: str
    cut: Callable[[Image.Image, Draw], Image.Image]
    settings: dict
    count: int = 1

    def apply(self, image: Image.Image, seed: int, key: str) -> list[tuple[str, np.ndarray]]:
        """``(key, crop)`` for every crop, a read-only uint8 (height, width, 3) array. Raises BadPicture."""
        keys = [f"{key}-{k}" for k in range(self.count)] if self.count > 1 else [key]
        return [(crop_key, self.one(image, seed, crop_key)) for crop_key in keys]

    def one(self, image: Image.Image, seed: int, crop_key: str) -> np.ndarray:
        """The crop with this key: read-only uint8 (height, width, 3). Raises BadPicture."""
        try:
            rgb = np.asarray(self.cut(image, functools.partial(generator, seed, crop_key, "crop")))
        except BadPicture:
            raise
        except (ValueError, OSError) as error:
            raise BadPicture(f"{image.width}x{image.height} cannot be cropped: {error}") from None
        rgb.flags.writeable = False
        return rgb

    def again(self, seed: int, crop_key: str) -> Cut:
        """The same crop of another picture of the same size, as a function of arrays."""
        return lambda rgb: self.one(Image.fromarray(rgb), seed, crop_key)

    def versions(self) -> dict[str, str]:
        return {"pillow": PIL.__version__, "numpy": np.__version__}


def parse(text: str) -> Crop:
    """The crop called ``paper``, ``none``, ``center:SIZE`` or ``random:K`` (K up to 1,000). Raises ValueError."""
    kind, _, number = text.partition(":")
    if text == "paper":
        settings = {"resize": 256, "filter": "bicubic", "center": SIDE, "offset": "round((n - 224) / 2)"}
        return Crop(text, _paper, settings)
    if text == "none":
        return Crop(text, lambda image, draw: image, {})
    if kind in ("center", "random") and number.isdecimal() and int(number) > 0:
        value = int(number)
        if kind == "center":
            return Crop(text, lambda image, draw: _center(image, value), {"center": value})
        if value > MOST:
            raise ValueError(f"crop '{text}': at most {MOST:,} crops of every picture")
        settings = {"size": SIDE, "scale": [0.08, 1.0], "ratio": [0.75, 4 / 3], "filter": "bicubic"}
        return Crop(text, _random, settings, count=value)
    raise ValueError(f"unknown crop '{text}': use paper, none, center:SIZE or random:K, as in center:224")


def _paper(image: Image.Image, draw: Draw) -> Image.Image:
    """Resize the short side to 256 with Pillow's bicubic filter, then cut the central 224 x 224.

    The long side becomes ``int(256 * long / short)``, the offset is ``round((n - 224) / 2)`` with Python's
    rounding, as in torchvision's ``Resize(256, BICUBIC)`` and ``CenterCrop(224)`` on a PIL image. (torchvision 0.8
    used ``int((n - 223) / 2)``, which is one pixel off for some sizes.)
    """
    width, height = image.size
    short = min(width, height)
    size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    if size[0] * size[1] > MAX_PIXELS:
        raise BadPicture(f"{width}x{height}: a short side of {short} resized to 256 gives {size[0]}x{size[1]}")
    return _center(image.resize(size, Image.Resampling.BICUBIC), SIDE)


def _center(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    if min(width, height) < side:
        raise BadPicture(f"{width}x{height} is smaller than the crop of {side}x{side}")
    left, top = round((width - side) / 2), round((height - side) / 2)
    return image.crop((left, top, left + side, top + side))


def _random(image: Image.Image, draw: Draw) -> Image.Image:
    """A random-resized crop (Szegedy et al. 2015; torchvision's defaults): area 8-100 %, aspect 3/4-4/3."""
    width, height = image.size
    rng = draw()
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            break
    else:  # no window fitted: take the largest central one whose aspect is within the limits
        w = min(width, max(1, round(height * 4 / 3)))
        h = min(height, max(1, round(width * 4 / 3)))
        left, top = (width - w) // 2, (height - h) // 2
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(left, top, left + w, top + h))
