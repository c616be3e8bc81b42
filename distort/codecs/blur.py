"""Gaussian blur (Ghosh et al. 2018, section 2: radius 4 for sigma 1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from distort.codecs.base import Filter

try:
    import scipy
except ImportError:
    raise ImportError("it needs scipy: pip install 'codecproof[report]'") from None


class Blur(Filter):
    name = "blur"
    parameter = "sigma"
    low, high = 0.1, 50
    integer = False
    meaning = "standard deviation in pixels; window radius ceil(4 sigma), edges mirrored"
    example = "blur-1"
    unit = "pixels"
    symbol = "σ"
    higher_is_better = False
    colour = ("#7a5c3e", "#bf9c78")
    marker = ">"

    def settings(self) -> dict[str, Any]:
        return {"sigma": self.value, "radius": math.ceil(4 * self.value), "mode": "mirror"}

    def apply(self, rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        blurred = gaussian_filter(rgb.astype(np.float64), axes=(0, 1), **self.settings())
        return np.rint(blurred, out=blurred).astype(np.uint8)

    def versions(self) -> dict[str, str]:
        return {"scipy": scipy.__version__}
