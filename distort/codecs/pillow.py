"""Shared by the codecs that encode with Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from distort.codecs.base import once_per_picture

image_of = once_per_picture(Image.fromarray)


def save(rgb: np.ndarray, format: str, **settings: Any) -> bytes:
    """The file that ``Image.save(format=…, **settings)`` writes for a uint8 (height, width, 3) picture."""
    file = io.BytesIO()
    image_of(rgb).save(file, format, **settings)
    return file.getvalue()


def versions(*pillow_features: str) -> dict[str, str]:
    """Versions of Pillow and of the libraries it was built with, by their names in ``PIL.features``."""
    return {"pillow": PIL.__version__} | {name: str(features.version(name)) for name in pillow_features}
