"""Metrics that ``distort measure`` adds to a finished dataset: of quality, and of time.

A new one is a subclass of ``Metric`` and an entry here; other packages register theirs in the entry-point group
``codecproof.metrics`` (name = module:Class). PSNR and SSIM over RGB are in every dataset, see ``distort.metrics``.
"""

from __future__ import annotations

import io
import math
import os
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, ClassVar

import numpy as np

from distort import codecs
from distort.codecs import Codec
from distort.distortion import Distortion, DistortionError, generator, parse
from distort.metrics import C1, C2
from shards.console import names as names_in
from shards.registry import Registry

SAMPLE = 50  #: pictures of a sampled metric: the first of the first shard
LUMA = np.array([0.299, 0.587, 0.114])  #: ITU-R BT.601, as JPEG uses it


@dataclass(frozen=True)
class Pair:
    """A picture of a column beside its clean crop."""

    key: str
    clean: np.ndarray  #: uint8 (height, width, 3)
    distorted: np.ndarray  #: the same shape
    data: bytes  #: the stored picture of the column
    column: dict  #: contents of ``column.json``
    seed: int  #: of the dataset


class Metric(ABC):
    """One number per picture. A subclass states the class variables; help, tables and figures come from them."""

    name: ClassVar[str]  #: of its folder: lower-case letters, digits, - and _
    title: ClassVar[str]
    meaning: ClassVar[str]  #: one line: the definition and its source
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    sampled: ClassVar[bool] = False  #: only of a few pictures, by one process; reports then show the median
    packages: ClassVar[tuple[str, ...]] = ()  #: distributions that it needs
    extra: ClassVar[str] = ""  #: the extra of codecproof that installs them

    @abstractmethod
    def measure(self, pair: Pair) -> float | None:
        """The value of one picture; None where it is not defined."""

    def settings(self) -> dict[str, Any]:
        """Everything besides the pictures that decides the values, as plain JSON."""
        return {}

    def described(self) -> dict[str, Any]:
        """What the metric's files say about it. Raises ValueError when one of its packages is missing."""
        try:
            versions = {package: metadata.version(package) for package in self.packages}
        except metadata.PackageNotFoundError as error:
            how = f"pip install 'codecproof[{self.extra}]'" if self.extra else f"pip install {error.name}"
            raise ValueError(f"metric '{self.name}' needs the package {error.name}: {how}") from None
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "sampled": self.sampled,
            "settings": self.settings(),
            "versions": versions,
            "machine": machine() if self.sampled else None,
        }


class LumaPsnr(Metric):
    name, title, unit = "psnr-y", "PSNR-Y", "dB"
    meaning = "PSNR of the luma 0.299 R + 0.587 G + 0.114 B (BT.601), peak 255; null: identical luma"

    def measure(self, pair: Pair) -> float | None:
        error = (pair.clean.astype(np.float64) - pair.distorted) @ LUMA
        mse = float((error**2).mean())
        return 10 * math.log10(255**2 / mse) if mse > 0 else None


class MsSsim(Metric):
    """Wang, Simoncelli & Bovik, Multi-scale structural similarity, Asilomar 2003: five scales, a mean over RGB.

    Between the scales 2x2 means; negative terms count as 0, as in most implementations.
    """

    name, title = "ms-ssim", "MS-SSIM"
    packages, extra = ("scipy",), "report"
    meaning = "multi-scale SSIM (Wang et al. 2003), 11x11 Gaussian, 5 scales, mean over RGB; null below 176 pixels"
    packages, extra = ("scipy",), "metrics"
    WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    RADIUS = 5

    def measure(self, pair: Pair) -> float | None:
        if min(pair.clean.shape[:2]) < (2 * self.RADIUS + 1) * 2 ** (len(self.WEIGHTS) - 1):
            return None
        x, y = pair.clean.astype(np.float64), pair.distorted.astype(np.float64)
        product = np.ones(3)
        for scale, weight in enumerate(self.WEIGHTS):
            luminance, contrast = self._terms(x, y)
            last = scale == len(self.WEIGHTS) - 1
            product *= np.maximum((luminance * contrast if last else contrast).mean((0, 1)), 0) ** weight
            x, y = _halved(x), _halved(y)
        return float(product.mean())

    def _terms(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean_x, mean_y = self._windows(x), self._windows(y)
        variances = self._windows(x * x) + self._windows(y * y) - mean_x**2 - mean_y**2
        covariance = self._windows(x * y) - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
        return luminance, (2 * covariance + C2) / (variances + C2)

    def _windows(self, picture: np.ndarray) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        inside = slice(self.RADIUS, -self.RADIUS)
        return gaussian_filter(picture, sigma=1.5, radius=self.RADIUS, axes=(0, 1))[inside, inside]


def _halved(picture: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels; an odd last row or column is repeated."""
    height, width, _ = picture.shape
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


class Ssimulacra2(Metric):
    name, title = "ssimulacra2", "SSIMULACRA2"
    meaning = "SSIMULACRA 2.1 of JPEG XL (Sneyers 2023) as ported by the package ssimulacra2; 100: no difference"
    packages, extra = ("ssimulacra2",), "metrics"

    def measure(self, pair: Pair) -> float | None:
        from ssimulacra2 import compute_ssimulacra2

        if min(pair.clean.shape[:2]) < 8:
            return None
        return float(compute_ssimulacra2(_file(pair.clean), _file(pair.distorted)))


def _file(rgb: np.ndarray) -> io.BytesIO:
    """A picture as an uncompressed file in memory."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "bmp")
    return file


class Flip(Metric):
    name, title = "flip", "FLIP"
    meaning = "mean FLIP error at 67 pixels per degree (Andersson et al. 2020), NVIDIA's package; 0: no difference"
    higher_is_better = False
    packages, extra = ("flip-evaluator",), "metrics"
    PER_DEGREE = 67.0

    def settings(self) -> dict[str, Any]:
        return {"pixels_per_degree": self.PER_DEGREE}

    def measure(self, pair: Pair) -> float | None:
        from flip_evaluator import evaluate

        clean, distorted = (rgb.astype(np.float32) / 255 for rgb in (pair.clean, pair.distorted))
        parameters = {"ppd": self.PER_DEGREE}
        return float(evaluate(clean, distorted, "LDR", applyMagma=False, parameters=parameters)[1])


class EncodeTime(Metric):
    name, title, unit = "encode-time", "encode", "ms"
    meaning = "milliseconds in which one thread encodes a picture with the last codec; the shorter of two tries"
    higher_is_better, sampled = False, True

    def measure(self, pair: Pair) -> float | None:
        try:
            distortion = parse(pair.column["column"])
        except DistortionError:  # a step that takes a file, or a codec that is not installed here
            return None
        if distortion.on_source:  # the source picture, which a dataset does not hold
            return None
        last = next((i for i in reversed(range(len(distortion.steps))) if _is_codec(distortion, i)), None)
        if last is None:
            return None
        rgb = pair.clean
        if last:
            before = Distortion(distortion.name, distortion.steps[:last], distortion.spec)
            rgb = before.roundtrip(rgb, generator(pair.seed, pair.key, distortion.name)).rgb
        codec = distortion.steps[last]
        assert isinstance(codec, Codec)
        # A new array for every try: conversions are remembered for read-only ones.
        return _milliseconds(lambda: codec.encode(rgb.copy()))


def _is_codec(distortion: Distortion, step: int) -> bool:
    return isinstance(distortion.steps[step], Codec)


class DecodeTime(Metric):
    name, title, unit = "decode-time", "decode", "ms"
    meaning = "milliseconds in which one thread decodes a stored picture; the shorter of two tries"
    higher_is_better, sampled = False, True

    def measure(self, pair: Pair) -> float | None:
        decode = codecs.decoder(pair.column)
        return _milliseconds(lambda: decode(pair.data))


def _milliseconds(action: Callable[[], object]) -> float:
    took = []
    for _ in range(2):
        start = time.perf_counter()
        action()
        took.append(time.perf_counter() - start)
    return 1000 * min(took)


def machine() -> str:
    """The processor of this machine."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        found = []
    return f"{found[0] if found else platform.processor() or platform.machine()}, {os.cpu_count()} threads"


METRICS = Registry(
    "codecproof.metrics",
    "metric",
    {
        kind.name: f"distort.quality:{kind.__name__}"
        for kind in (LumaPsnr, MsSsim, Ssimulacra2, Flip, EncodeTime, DecodeTime)
    },
)
TIME = "time"  #: stands for both times


def parse_metrics(text: str) -> list[Metric]:
    """Metrics from a comma-separated list of names; ``time`` is both times.

    Raises ValueError for an unknown name, with the nearest and the list, and for a package that is missing.
    """
    if not text.strip(", "):
        raise ValueError(f"no metric given; there are {', '.join([*METRICS.names(), TIME])}")
    parts = names_in(text)
    times = [EncodeTime.name, DecodeTime.name]
    names = dict.fromkeys(name for part in parts for name in (times if part == TIME else [part]))
    found: list[Metric] = [METRICS.load(name)() for name in names]
    for metric in found:
        metric.described()
    return found
