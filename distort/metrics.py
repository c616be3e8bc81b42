"""PSNR and SSIM of a distorted picture against its clean crop.

All sums over windows are exact integers. ``metrics.c`` computes them if it was compiled, which happens at
installation if there is a C compiler. Otherwise numpy computes bit-identical values several times more slowly.
``benchmarks/ssim.py`` compares both with scikit-image.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import math
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np

WINDOW = 7
PIXELS = WINDOW * WINDOW
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# SSIM's constants, scaled like the window sums: means by 49 each, (co)variances by 49 * 48.
C1_SUMS = np.float32(C1 * PIXELS * PIXELS)
C2_SUMS = np.float32(C2 * PIXELS * (PIXELS - 1))
# Rows of windows per strip: a third of a 224x224 picture, so that temporaries stay in the L2 cache.
STRIP = 73


@functools.cache
def kernel() -> ctypes.CDLL | None:
    """The compiled ``metrics.c`` of this installation; None if it was not compiled."""
    return load(Path(__file__).parent)


def load(folder: Path) -> ctypes.CDLL | None:
    """The library compiled into ``folder`` for this Python; None if there is none."""
    files = (folder / f"_metrics{suffix}" for suffix in EXTENSION_SUFFIXES)
    file = next((file for file in files if file.exists()), None)
    if file is None:
        return None
    library = ctypes.CDLL(str(file))
    array, count, constant = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    library.squared_error.argtypes = [array, array, count]
    library.squared_error.restype = ctypes.c_int64
    library.window_ssim.argtypes = [array, array, count, count, count, constant, constant, array, array]
    library.window_ssim.restype = None
    return library


def psnr(clean: np.ndarray, distorted: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, peak 255, MSE over all pixels and channels; inf when equal.

    Raises ValueError unless both are uint8 arrays of the same shape.
    """
    _check(clean, distorted)
    if library := kernel():
        x, y = np.ascontiguousarray(clean), np.ascontiguousarray(distorted)
        squares = library.squared_error(x.ctypes.data, y.ctypes.data, x.size)
    else:
        error = clean.astype(np.int32).ravel() - distorted.ravel()
        squares = int(np.einsum("i,i->", error, error, dtype=np.int64))
    return 10 * math.log10(255**2 * clean.size / squares) if squares else math.inf


def require(window: str) -> None:
    """Raises ValueError if SSIM with this window needs a library that is not installed."""
    if window == "gaussian" and importlib.util.find_spec("scipy") is None:
        raise ValueError("--ssim gaussian needs scipy: pip install 'codecproof[report]'")


class Reference:
    """A clean uint8 (height, width, 3) picture, prepared for comparison with its distorted versions.

    ``window="uniform"``: SSIM with 7x7 uniform windows and the sample covariance, averaged over RGB and over the
    windows inside the picture. This is scikit-image's default, and it agrees with Table I of Marie et al. 2022.
    ``window="gaussian"``: 11x11 Gaussian window, sigma 1.5 (Wang et al. 2004, section III-B).
    """

    def __init__(self, clean: np.ndarray, window: str = "uniform"):
        self.clean = clean
        library = kernel()
        uniform = _Uniform if library is None else functools.partial(_Compiled, library=library)
        self._ssim = {"uniform": uniform, "gaussian": _Gaussian}[window](clean)

    def psnr(self, distorted: np.ndarray) -> float:
        """PSNR in dB; ``math.inf`` for identical pictures. Raises ValueError for another shape or dtype."""
        return psnr(self.clean, distorted)

    def ssim(self, distorted: np.ndarray) -> float | None:
        """SSIM in [-1, 1]; None when the picture is smaller than the window. Raises ValueError like ``psnr``."""
        if min(self.clean.shape[:2]) < self._ssim.size:
            return None
        _check(self.clean, distorted)
        return self._ssim(distorted)


def _check(clean: np.ndarray, distorted: np.ndarray) -> None:
    if clean.shape != distorted.shape:
        raise ValueError(f"cannot compare a picture of shape {distorted.shape} with one of {clean.shape}")
    if clean.dtype != np.uint8 or distorted.dtype != np.uint8:
        raise ValueError(f"pictures are uint8, these are {clean.dtype} and {distorted.dtype}")


class _Compiled:
    """SSIM with uniform windows by ``metrics.c``. Nothing of the clean crop is worth caching."""

    size = WINDOW

    def __init__(self, clean: np.ndarray, library: ctypes.CDLL):
        self.library, self.x = library, np.ascontiguousarray(clean)
        height, width, self.channels = clean.shape
        self.rows, self.length = height - WINDOW + 1, width * self.channels

    def __call__(self, distorted: np.ndarray) -> float:
        y = np.ascontiguousarray(distorted)
        work = np.empty(4 * self.length, np.int32)
        ssim = np.empty((self.rows, self.length - (WINDOW - 1) * self.channels), np.float32)
        self.library.window_ssim(
            self.x.ctypes.data, y.ctypes.data, len(y), self.length, self.channels, C1_SUMS, C2_SUMS,
            work.ctypes.data, ssim.ctypes.data,
        )  # fmt: skip
        return sum(_sum(ssim[top : top + STRIP]) for top in range(0, self.rows, STRIP)) / ssim.size


def _sum(ssim: np.ndarray) -> float:
    return float(ssim.sum(dtype=np.float64))


class _Uniform:
    """The same in numpy: the window sums of the clean crop are computed once for all its distortions."""

    size = WINDOW

    def __init__(self, clean: np.ndarray):
        height, width, self.channels = clean.shape
        self.strips = []
        rows = clean.reshape(height, width * self.channels)
        for top in range(0, height - WINDOW + 1, STRIP):
            x = rows[top : top + STRIP + WINDOW - 1].astype(np.int32)
            sum_x = self._windows(x)
            square = sum_x * sum_x
            variance = self._windows(x * x)
            variance *= PIXELS
            variance -= square
            self.strips.append((top, x, sum_x, square.astype(np.float32) + C1_SUMS, variance))

    def __call__(self, distorted: np.ndarray) -> float:
        rows = distorted.reshape(distorted.shape[0], -1)
        total, count = 0.0, 0
        for top, x, sum_x, square_x, variance in self.strips:
            y = rows[top : top + len(x)].astype(np.int32)
            sum_y = self._windows(y)
            covariance = self._windows(x * y)
            y *= y
            variances = self._windows(y)
            # All of this is exact: 49 * 49 * 255 ** 2 < 2 ** 31. Rounding starts with float32 below, where all
            # terms of the denominator are positive, so there is no cancellation.
            product = sum_x * sum_y
            sum_y *= sum_y
            covariance *= PIXELS
            covariance -= product
            variances *= PIXELS
            variances -= sum_y
            variances += variance
            ssim = _twice_plus(product, C1_SUMS)
            ssim *= _twice_plus(covariance, C2_SUMS)
            below = square_x + sum_y.astype(np.float32)
            below *= variances.astype(np.float32) + C2_SUMS
            ssim /= below
            total += _sum(ssim)
            count += ssim.size
        return total / count

    def _windows(self, rows: np.ndarray) -> np.ndarray:
        """Sums over all 7x7 windows of interleaved rows, as 2 + 2 + 2 + 1 in each direction."""
        step = self.channels
        pairs = rows[:-1] + rows[1:]
        columns = pairs[:-5] + pairs[2:-3]
        columns += pairs[4:-1]
        columns += rows[6:]
        pairs = columns[:, :-step] + columns[:, step:]
        width = columns.shape[1] - 6 * step
        sums = pairs[:, :width] + pairs[:, 2 * step : 2 * step + width]
        sums += pairs[:, 4 * step : 4 * step + width]
        sums += columns[:, 6 * step :]
        return sums


def _twice_plus(integers: np.ndarray, constant: np.float32) -> np.ndarray:
    floats = integers.astype(np.float32)
    floats *= 2
    floats += constant
    return floats


class _Gaussian:
    size = 11

    def __init__(self, clean: np.ndarray):
        require(window="gaussian")
        from scipy.ndimage import gaussian_filter  # imported here to save memory in workers that do not need it

        self.filter = gaussian_filter
        self.x = clean.astype(np.float64)
        self.mean = self._windows(self.x)
        self.variance = self._windows(self.x**2) - self.mean**2

    def __call__(self, distorted: np.ndarray) -> float:
        y = distorted.astype(np.float64)
        mean = self._windows(y)
        variance = self._windows(y**2) - mean**2
        covariance = self._windows(self.x * y) - self.mean * mean
        ssim = (2 * self.mean * mean + C1) * (2 * covariance + C2)
        ssim /= (self.mean**2 + mean**2 + C1) * (self.variance + variance + C2)
        return float(ssim.mean())

    def _windows(self, picture: np.ndarray) -> np.ndarray:
        """Gaussian-weighted means over the windows that lie inside the picture."""
        radius = self.size // 2
        means = self.filter(picture, sigma=1.5, radius=radius, axes=(0, 1))
        return means[radius:-radius, radius:-radius]
