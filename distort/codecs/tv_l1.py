"""The cartoon part of a picture: TV-L1 (Le Guen 2014, doi:10.5201/ipol.2014.103), own implementation.

Minimises TV(u) + lambda · Σ |u - f| over u, with isotropic TV, for each channel separately, in grey levels. The
solver is the primal-dual algorithm of Chambolle and Pock 2011 with the article's step sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distort.codecs.base import Filter

STEP = 0.35  #: step size of the primal and the dual variable; 8 · STEP² < 1 ensures convergence
ITERATIONS = 1000
EVERY = 10  #: iterations between checks of the energy
CHANGE = 1e-3  #: the solver stops when the energy per pixel changes by less


class TvL1(Filter):
    name = "tvl1"
    parameter = "lambda"
    low, high = 0.01, 100
    integer = False
    meaning = "weight of TV-L1's data term: smaller smooths more, 4 and above changes nothing"
    example = "tvl1-0.8"
    title = "TV-L1"
    symbol = "λ"
    colour = ("#8a5a83", "#c79bc0")
    marker = "p"

    def settings(self) -> dict[str, Any]:
        return {"lambda": self.value, "step": STEP, "iterations": ITERATIONS, "every": EVERY, "change": CHANGE}

    def apply(self, rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        cartoon = solve(rgb.astype(np.float32), float(self.value))
        return np.clip(np.rint(cartoon), 0, 255).astype(np.uint8)

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}


def gradient(u: np.ndarray) -> np.ndarray:
    """Forward differences, zero at the far edges: (height, width, channels) to (2, height, width, channels)."""
    found = np.zeros((2, *u.shape), u.dtype)
    np.subtract(u[1:], u[:-1], out=found[0, :-1])
    np.subtract(u[:, 1:], u[:, :-1], out=found[1, :, :-1])
    return found


def divergence(p: np.ndarray) -> np.ndarray:
    """The negative adjoint of ``gradient``."""
    found = np.zeros(p.shape[1:], p.dtype)
    found[:-1] += p[0, :-1]
    found[1:] -= p[0, :-1]
    found[:, :-1] += p[1, :, :-1]
    found[:, 1:] -= p[1, :, :-1]
    return found


def energy(u: np.ndarray, f: np.ndarray, weight: float) -> float:
    """TV(u) + weight · Σ |u - f|, over all channels."""
    smooth = np.sqrt(np.square(gradient(u)).sum(0)).sum(dtype=np.float64)
    return float(smooth + weight * np.abs(u - f).sum(dtype=np.float64))


def solve(f: np.ndarray, weight: float, iterations: int = ITERATIONS) -> np.ndarray:
    """The minimiser for a float32 (height, width, channels) picture, up to the tolerance ``CHANGE``."""
    u, ahead, p = f.copy(), f.copy(), np.zeros((2, *f.shape), f.dtype)
    before = energy(u, f, weight)
    for iteration in range(1, iterations + 1):
        p += STEP * gradient(ahead)
        p /= np.maximum(1, np.sqrt(np.square(p).sum(0)))
        v = u + STEP * divergence(p)
        v -= f
        new = f + np.sign(v) * np.maximum(np.abs(v) - STEP * weight, 0)
        ahead = 2 * new - u
        u = new
        if iteration % EVERY == 0:
            now = energy(u, f, weight)
            if abs(before - now) < CHANGE * f[..., 0].size:
                break
            before = now
    return u
