"""Additive white Gaussian noise (stability training, Zheng et al. 2016; Ghosh et al. 2018, section 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from distort.codecs.base import Filter


class Noise(Filter):
    name = "noise"
    parameter = "sigma"
    low, high = 0.01, 255
    integer = False
    meaning = "standard deviation in grey levels; drawn per pixel and channel, rounded, clipped"
    example = "noise-20"
    unit = "grey levels"
    symbol = "σ"
    higher_is_better = False
    colour = ("#6b6b6a", "#a9a9a8")
    marker = "<"

    def settings(self) -> dict[str, Any]:
        return {"sigma": self.value, "generator": type(np.random.default_rng().bit_generator).__name__}

    def apply(self, rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noisy = rng.standard_normal(rgb.shape)
        noisy *= self.value
        noisy += rgb
        return np.clip(np.rint(noisy, out=noisy), 0, 255, out=noisy).astype(np.uint8)

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}
