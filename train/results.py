"""Compute the scores of ``results.json`` from predictions; shards/results.py defines the file."""

from __future__ import annotations

import math

import numpy as np

Z = 1.959963984540054  #: normal quantile of a two-sided 95 % interval


def wilson(right: int, n: int) -> list[float]:
    """95 % score interval of a proportion (Wilson 1927), as fractions. ``[0, 1]`` without samples."""
    if n == 0:
        return [0.0, 1.0]
    p, z2 = right / n, Z * Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return [0.0 if right == 0 else max(centre - half, 0.0), 1.0 if right == n else min(centre + half, 1.0)]


def column_result(loss: np.ndarray, top1: np.ndarray, top5: np.ndarray) -> dict:
    """The score of one column from every sample's cross-entropy, top-1 and top-5 correctness."""
    n, first, five = len(loss), int(top1.sum()), int(top5.sum())
    return {
        "n": n,
        "top1": first / n,
        "top1_interval": wilson(first, n),
        "top5": five / n,
        "top5_interval": wilson(five, n),
        "loss": float(loss.mean(dtype=np.float64)),
    }
