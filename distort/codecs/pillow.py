"""The part that the codecs encoded by Pillow share."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from distort.codecs.base import once_per_picture

image_of = once_per_picture(Image.fromarray)


def save(rgb: np.ndarray, format: str, **settings: Any) -> bytes:
    """The file that ``Image.save(format=…, **settings)`` writes for a uint8 (H, W, 3) picture."""
    file = io.BytesIO()
    image_of(rgb).save(file, format, **settings)
    return file.getvalue()


def versions(*pillow_features: str) -> dict[str, str]:
    """Pillow's version and that of the libraries it was built with, by ``PIL.features`` name."""
    return {"pillow": PIL.__version__} | {name: str(features.version(name)) for name in pillow_features}
