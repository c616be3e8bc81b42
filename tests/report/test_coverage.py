"""Simulated experiments with known truth: do 95 % intervals cover it?"""

import numpy as np
import pytest
from scipy.stats import norm

from report import intervals
from report.bd import Point, delta

EXPERIMENTS, PICTURES = 500, 1000
NOISE = 2 * np.sqrt(0.95 * 0.05 / EXPERIMENTS)  #: two standard errors of a coverage that is counted
LEVELS = np.array([-0.4, 0.1, 0.6, 1.0])  #: how easy a picture is at each of four qualities
GAIN = 0.15
RATES = np.array([0.2, 0.35, 0.6, 1.0])  #: bits per pixel


class Laboratory:
    """Networks whose answers have a part of the picture, of the training and of neither (a probit model)."""

    def __init__(self, seeds, spread, rng):
        self.seeds, self.spread, self.rng = seeds, spread, rng

    def accuracy(self, level):
        return norm.cdf(level / np.sqrt(1 + self.spread**2))

    def experiment(self):
        """Per method and quality: answers (seeds, pictures); and bits per pixel (qualities, pictures)."""
        busy = self.rng.normal(size=PICTURES)
        pictures = np.sqrt(0.85) * self.rng.normal(size=PICTURES)

        def train(level):
            training = self.spread * self.rng.normal(size=(self.seeds, 1))
            noise = np.sqrt(0.15) * self.rng.normal(size=(self.seeds, PICTURES))
            return (level + pictures + training + noise > 0).astype(np.float32)

        answers = [[train(level + bonus) for level in LEVELS] for bonus in (0, GAIN)]
        bits = RATES[:, None] * np.exp(0.4 * busy - 0.08 + 0.1 * self.rng.normal(size=(4, PICTURES)) - 0.005)
        return answers, bits

    def accuracy_of_one(self, answers, _):
        _, low, high = intervals.proportion(answers[0][1])
        return low, high

    def gain(self, answers, _):
        (_, tuned, *_), (_, expert, *_) = answers
        low, high = intervals.estimate([expert - tuned], pseudo=1.0).interval()
        return low, high

    def bd_rate(self, answers, bits):
        curves = [
            [Point(bits[k].mean(), matrix.mean(), (k, matrix)) for k, matrix in enumerate(method)]
            for method in answers
        ]

        def variance(slopes):
            constant = sum(by / np.log(10) / p.rate * (bits[p.source[0]] - p.rate) for p, by, _ in slopes)
            parts = [sum(by * p.source[1] for p, _, by in slopes if p.source[0] == k) for k in range(len(LEVELS))]
            return intervals.estimate(parts, constant)

        found = delta(*curves, variance)
        return found.bd_rate_low, found.bd_rate_high

    def truth(self):
        plain, better = (
            [Point(r, self.accuracy(level + bonus)) for r, level in zip(RATES, LEVELS, strict=True)]
            for bonus in (0, GAIN)
        )
        return {
            "accuracy_of_one": plain[1].quality,
            "gain": better[1].quality - plain[1].quality,
            "bd_rate": delta(plain, better).bd_rate,
        }


def coverage(seeds, spread, *quantities, experiments=EXPERIMENTS):
    """Of each quantity, over the same experiments."""
    laboratory = Laboratory(seeds, spread, np.random.default_rng(5))
    truth = laboratory.truth()
    covered = dict.fromkeys(quantities, 0)
    for _ in range(experiments):
        measured = laboratory.experiment()
        for quantity in quantities:
            low, high = getattr(laboratory, quantity)(*measured)
            covered[quantity] += low <= truth[quantity] <= high
    return {quantity: count / experiments for quantity, count in covered.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "spread"), [(3, 0.0), (3, 0.02), (3, 0.04), (3, 0.1), (5, 0.0), (5, 0.03), (5, 0.1)]
)
def test_95_percent_intervals_cover_the_truth_in_93_to_97_percent(seeds, spread):
    """From trainings that do not differ at all (0) to ones that differ by 3 points of accuracy (0.1)."""
    slow = ["bd_rate"] if (seeds, spread) in ((3, 0.1), (5, 0.0)) else []
    for found in coverage(seeds, spread, "accuracy_of_one", "gain", *slow).values():
        assert 0.93 - NOISE <= found <= 0.97 + NOISE


@pytest.mark.parametrize("spread", [0.0, 0.04, 0.1])
def test_a_gain_over_three_seeds_is_covered_whether_or_not_the_seeds_differ(spread):
    assert 0.91 <= coverage(3, spread, "gain", experiments=200)["gain"] <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize(("p", "n"), [(0.5, 100), (0.9, 1000), (0.98, 1000)])
def test_the_interval_of_one_seeds_accuracy_is_wilsons(p, n):
    rng = np.random.default_rng(1)
    ends = [intervals.proportion((rng.random((1, n)) < p).astype(float))[1:] for _ in range(500)]
    assert 0.93 <= np.mean([low <= p <= high for low, high in ends]) <= 0.975
