"""Every interval of the report: it covers the variation of both pictures and seeds.

The answers of S trainings on n pictures are a two-way table without replication, seeds x pictures, both random
(Searle, Casella & McCulloch, Variance Components, 1992, ch. 4). The variance of its mean has a part of the
pictures and a part of the seeds, each estimated by analysis of variance. The interval combines them as Zou &
Donner do (Statistics in Medicine 27, 2008): the half-width is the root of the sum of squares of each part's own,
the seeds' with Student's t for their few degrees of freedom. The residual is in both parts and is subtracted from
the seeds' once, at the median of its chi-square distribution: the mean would leave an estimate of zero too often,
and with it an interval without any seeds. Satterthwaite's degrees of freedom for the sum of both parts (1946) are
not used: they are large whenever the few seeds happen to agree, and with three seeds the interval then covers 91 %
where this one covers 93 to 97 % (tests/report/test_coverage.py). They only pool the seeds of several parts.
Gallas et al., Communications in Statistics 38 (2009), derive the variance for readers and cases and show that the
bootstrap over few readers is too narrow. Differences are taken picture by picture and seed by seed before, so they
are paired. With one seed the interval covers only the variation of pictures, not of trainings.

Smooth functions of several means (a BD-rate) use their first-order expansion: the delta method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
SURE = 1 - 1e-12  #: the highest level that is computed; a p-value is at least 1 - SURE


@dataclass(frozen=True)
class Estimate:
    """A mean, and its variance in two parts with their degrees of freedom."""

    mean: float
    pictures: float  #: the variance from pictures
    pictures_df: float
    n: int  #: pictures
    seeds: float = 0.0  #: the variance from trainings
    seeds_df: float = math.inf

    def half(self, level: float = LEVEL) -> float:
        """Half the width of the interval of this level: each part at its own quantile (Zou & Donner 2008)."""
        parts = ((self.pictures, self.pictures_df), (self.seeds, self.seeds_df))
        return math.sqrt(sum(quantile(df, level) ** 2 * variance for variance, df in parts if variance))

    def interval(self) -> tuple[float, float]:
        half = self.half()
        return self.mean - half, self.mean + half

    def p(self) -> float:
        """Two-sided p-value of the hypothesis that the mean is 0: one less the level whose interval ends at 0."""
        from scipy.optimize import brentq

        if abs(self.mean) <= self.half(0.0):  # of which earlier scipys make 1e-17 instead of 0
            return 1.0
        if self.half(SURE) <= abs(self.mean):
            return 1 - SURE
        return 1 - float(brentq(lambda level: self.half(level) - abs(self.mean), 0.0, SURE, xtol=1e-13))


def quantile(df: float, level: float = LEVEL) -> float:
    """Of Student's t, or of the normal distribution if ``df`` is infinite, for a two-sided interval."""
    from scipy.special import ndtri, stdtrit

    q = (1 + level) / 2
    return float(ndtri(q) if math.isinf(df) else stdtrit(df, q))


def estimate(parts: Sequence[np.ndarray], constant: np.ndarray | None = None, pseudo: float = 0.0) -> Estimate:
    """The sum of the means of ``parts``, float (seeds, n) each: independent seeds, the same pictures.

    Pictures that any part lacks (NaN) do not count. ``constant`` (n,) has no seeds. ``pseudo`` adds two
    pictures, of plus and minus that value, to the variance only, so that few pictures that never disagree give
    no interval of width zero (for a difference of proportions: Bonett & Price, Br. J. Math. Stat. Psychol. 65,
    2012).
    """
    tested = np.logical_and.reduce([~np.isnan(part).any(0) for part in parts])
    if constant is not None:
        tested &= ~np.isnan(constant)
    kept = [part[:, tested].astype(np.float64) for part in parts]
    n = int(tested.sum())
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    pictures = sum(part.mean(0) for part in kept) + (0 if constant is None else constant[tested])
    mean = float(pictures.mean())
    padded = np.concatenate([pictures, [pseudo, -pseudo]]) if pseudo else pictures
    first = float(padded.var(ddof=1) / len(padded)) if len(padded) > 1 else 0.0
    between, df = _seeds([_squares(part) for part in kept if len(part) > 1])
    return Estimate(mean, first, max(len(padded) - 1, 1), n, between, df)


def _squares(part: np.ndarray) -> tuple[float, float, int]:
    """Mean squares of seeds and of the residual, as variances of the mean, and the seeds' degrees of freedom."""
    seeds, n = part.shape
    rows, columns = part.mean(1), part.mean(0)
    residual = part - rows[:, None] - columns + part.mean()
    noise = float((residual**2).sum() / ((seeds - 1) * max(n - 1, 1)) / (seeds * n))
    return float(rows.var(ddof=1) / seeds), noise, seeds - 1


def _seeds(parts: Sequence[tuple[float, float, int]]) -> tuple[float, float]:
    """The variance from trainings in ``_squares`` of independent parts, and its degrees of freedom."""
    from scipy.special import chdtri

    between, noise = sum(part[0] for part in parts), sum(part[1] for part in parts)
    # Satterthwaite with unbiased squares, ms² / (df + 2) instead of ms² / df, so 2 less at the end (Welch 1947).
    squares = sum(square**2 / (df + 2) for square, _, df in parts)
    if not squares:
        return 0.0, math.inf
    df = max(between**2 / squares - 2, min(part[2] for part in parts))
    return max(between - noise * float(chdtri(df, 0.5)) / df, 0.0), df


def proportion(answers: np.ndarray) -> tuple[float, float, float]:
    """Mean of 0 and 1, float (seeds, n), and its interval: Wilson's (1927) for as many independent pictures as
    would have this width, so exactly Wilson's for one seed (as surveys do: Franco et al., J. Surv. Stat.
    Methodol. 7, 2019)."""
    found = estimate([answers])
    if found.n == 0:
        return math.nan, 0.0, 1.0
    p, known = found.mean, quantile(math.inf)
    if len(answers) == 1 or not 0 < p < 1 or not found.half():
        return p, *wilson(p, found.n, known)
    return p, *wilson(p, p * (1 - p) * found.n / max(found.n - 1, 1) * (known / found.half()) ** 2, known)


def without_samples(scores: Sequence[float], n: int) -> tuple[float, float, float]:
    """As ``proportion``, from the seeds' accuracies alone, as if all seeds failed on the same pictures."""
    p, seeds, known = float(np.mean(scores)), len(scores), quantile(math.inf)
    between = float(np.var(scores, ddof=1) / seeds) if seeds > 1 else 0.0
    half = Estimate(p, p * (1 - p) / n, math.inf, n, between, max(seeds - 1, 1)).half()
    return p, *wilson(p, p * (1 - p) * (known / half) ** 2 if half and 0 < p < 1 else n, known)


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927), as fractions."""
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(centre - half, 0.0) if p > 0 else 0.0, min(centre + half, 1.0) if p < 1 else 1.0
