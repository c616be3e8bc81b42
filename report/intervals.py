"""Every interval of the report: it covers the variation of both pictures and seeds.

The answers of S trainings on n pictures are a two-way table without replication, seeds x pictures, both random
(Searle, Casella & McCulloch, Variance Components, 1992, ch. 4). The variance of its mean has a part of the
pictures and a part of the seeds; each is estimated from the analysis of variance, the residual that both contain
is counted once, and degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946). Gallas et al.,
Communications in Statistics 38 (2009), derive the same for readers and cases and show that the bootstrap over
few readers is too narrow: with three seeds that differ much, the 95 % percentile bootstrap covers 77 %, this 92
to 96 % (tests/report/test_coverage.py). Differences are taken picture by picture and seed by seed before, so
they are paired. With one seed the interval covers only the variation of pictures, not of trainings.

Smooth functions of several means (a BD-rate) use their first-order expansion: the delta method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, its variance, and the degrees of freedom of that variance."""

    mean: float
    variance: float
    df: float
    n: int  #: pictures

    @property
    def quantile(self) -> float:
        return quantile(self.df)

    def interval(self) -> tuple[float, float]:
        half = self.quantile * math.sqrt(self.variance)
        return self.mean - half, self.mean + half

    def p(self) -> float:
        """Two-sided p-value of the hypothesis that the mean is 0."""
        from scipy.stats import t

        if self.variance == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * t.sf(abs(self.mean) / math.sqrt(self.variance), self.df))


def quantile(df: float) -> float:
    """The 97.5 % quantile of Student's t, or of the normal distribution if ``df`` is infinite."""
    from scipy.stats import norm, t

    q = (1 + LEVEL) / 2
    return float(norm.ppf(q) if math.isinf(df) else t.ppf(q, df))


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
    seeded, squares = 0.0, 0.0
    for part in kept:
        seeds = len(part)
        if seeds < 2:
            continue
        rows, columns = part.mean(1), part.mean(0)
        between = float(rows.var(ddof=1) / seeds)
        residual = part - rows[:, None] - columns + part.mean()
        seeded += between - float((residual**2).sum() / ((seeds - 1) * max(n - 1, 1)) / (seeds * n))
        squares += between**2 / (seeds + 1)
    variance = first + max(seeded, 0.0)
    squares = first**2 / (len(padded) + 1) + (squares if seeded > 0 else 0.0)
    # Unbiased estimates of the squares: ms² / (df + 2) instead of ms² / df, and 2 less at the end (Welch 1947).
    return Estimate(mean, variance, max(variance**2 / squares - 2, 1.0) if squares else math.inf, n)


def proportion(answers: np.ndarray) -> tuple[float, float, float]:
    """Mean of 0 and 1, float (seeds, n), and its interval: Wilson's (1927) for as many independent pictures as
    would have this variance, so exactly Wilson's for one seed (as surveys do: Franco et al., J. Surv. Stat.
    Methodol. 7, 2019)."""
    found = estimate([answers])
    if found.n == 0:
        return math.nan, 0.0, 1.0
    p = found.mean
    variance = found.variance * (found.n - 1) / found.n
    effective = p * (1 - p) / variance if variance > 0 and 0 < p < 1 else found.n
    return p, *wilson(p, effective, found.quantile if len(answers) > 1 else quantile(math.inf))


def without_samples(scores: Sequence[float], n: int) -> tuple[float, float, float]:
    """As ``proportion``, from the seeds' accuracies alone, as if all seeds failed on the same pictures."""
    p, seeds = float(np.mean(scores)), len(scores)
    pictures = p * (1 - p) / n
    between = float(np.var(scores, ddof=1) / seeds) if seeds > 1 else 0.0
    variance = pictures + between
    if variance == 0:
        return p, *wilson(p, n, quantile(math.inf))
    df = variance**2 / (between**2 / (seeds - 1)) if between else math.inf
    return p, *wilson(p, p * (1 - p) / variance if 0 < p < 1 else n, quantile(df))


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927), as fractions."""
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(centre - half, 0.0) if p > 0 else 0.0, min(centre + half, 1.0) if p < 1 else 1.0
