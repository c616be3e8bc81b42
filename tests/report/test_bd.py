import math
from itertools import combinations

import bjontegaard
import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.interpolate import PchipInterpolator

from report import bd

pytestmark = pytest.mark.slow

CURVE = [(0.35, 22.8), (0.48, 25.3), (0.9, 29.1), (1.7, 32.0)]


def scaled(curve, factor):
    return [(factor * rate, quality) for rate, quality in curve]


def delta(anchor, test):
    return bd.delta(*([bd.Point(*point) for point in curve] for curve in (anchor, test)))


def test_a_curve_against_itself_is_0_percent():
    assert delta(CURVE, CURVE).bd_rate == pytest.approx(0)


@pytest.mark.parametrize(("factor", "percent"), [(0.5, -50), (2, 100), (0.9, -10)])
def test_a_scaled_rate_is_that_scale(factor, percent):
    assert delta(CURVE, scaled(CURVE, factor)).bd_rate == pytest.approx(percent)


@pytest.mark.parametrize("quality", ["psnr_mean", "ssim_mean", None])
def test_bd_rate_agrees_with_a_direct_numerical_integration(collected, quality):
    anchor, other = CURVE, [(0.2, 23), (0.5, 26), (0.8, 28), (1.1, 33), (2, 34)]
    if quality:
        rows = collected.measured.to_pylist()
        anchor, other = (
            sorted((row["bpp_mean"], row[quality]) for row in rows if row["series"] == series)
            for series in ("JPEG", "WebP")
        )
    low, high = max(anchor[0][1], other[0][1]), min(anchor[-1][1], other[-1][1])
    grid = np.linspace(low, high, 20001)
    logs = [PchipInterpolator([q for _, q in c], [math.log10(r) for r, _ in c])(grid) for c in (anchor, other)]
    expected = 100 * (10 ** (trapezoid(logs[1] - logs[0], grid) / (high - low)) - 1)
    assert delta(anchor, other).bd_rate == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("n", range(2, 8))
def test_the_integral_is_scipys_of_rising_and_other_curves_and_of_their_parts(n):
    rng = np.random.default_rng(n)
    for _ in range(50):
        x, steps = np.cumsum(rng.uniform(0.01, 1, n)), rng.choice([-1, 0, 1, 5], n)
        for y in (np.cumsum(rng.uniform(size=n)), np.cumsum(steps * rng.uniform(size=n))):
            ends = x[0], *np.sort(rng.uniform(x[0], x[-1], 2)), x[-1]
            for low, high in combinations(ends, 2):
                expected = PchipInterpolator(x, y).integrate(low, high)
                assert bd.integral([*zip(x, y, strict=True)], low, high) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (CURVE[:1], "test has 1 of 3 points"),
        ([(r, 25.0) for r, _ in CURVE], "test is flat or falls"),
        ([(r, -q) for r, q in CURVE], "test is flat or falls"),
        ([(r, q + 50) for r, q in CURVE], "no quality that both reach"),
        ([*CURVE[:2], (1.7, math.inf)], "test has 2 of 3 points"),
        ([*CURVE[:2], (1.7, None)], "test has 2 of 3 points"),
    ],
)
def test_where_there_is_no_bd_rate_there_is_a_reason(test, reason):
    found = delta(CURVE, test)
    assert found.bd_rate is None
    assert reason in found.reason


def test_a_tie_or_a_fall_is_pooled_with_its_neighbour_and_flagged():
    found = delta(CURVE, [*scaled(CURVE, 0.5), (0.25, 25.3)])
    assert found.pooled == 1
    assert "pooled" in found.flag
    assert -55 < found.bd_rate < -45
    assert bd.rising([(0, 1.0), (1, 3.0), (2, 2.0), (3, 4.0)]) == [(0, 1.0), (1.5, 2.5), (3, 4.0)]


def test_three_points_with_a_tie_still_give_a_value_and_say_so():
    found = delta(CURVE, [(0.2, 23.0), (0.5, 26.0), (0.6, 26.0)])
    assert found.bd_rate is not None
    assert found.flag.startswith("3 points, 1 pooled with a neighbour")
    assert found.flag.endswith("a straight line between two")


def test_points_of_the_same_rate_are_one_point():
    found = delta(CURVE, [*CURVE, (CURVE[1][0] * (1 + 1e-6), CURVE[1][1]), CURVE[2]])
    assert found.bd_quality == pytest.approx(0, abs=1e-3)
    one = delta(CURVE, [(0.5, 24.0), (0.5, 26.0), (0.5, 28.0)])
    assert one.bd_quality is None
    assert one.flag == "3 points, one curve has a single rate"


def test_without_a_common_rate_there_is_a_bd_rate_and_a_remark():
    found = delta(CURVE, scaled(CURVE, 0.01))
    assert found.bd_rate == pytest.approx(-99, abs=0.1)
    assert found.bd_quality is None
    assert found.flag == "no rate that both reach"


def test_bd_quality_of_a_raised_curve_is_what_it_was_raised_by():
    assert delta(CURVE, [(rate, quality + 1.5) for rate, quality in CURVE]).bd_quality == pytest.approx(1.5)


@pytest.mark.parametrize("other", [scaled(CURVE, 0.7), [(0.2, 23), (0.5, 26), (0.8, 28), (1.1, 33), (2, 34)]])
def test_both_deltas_are_those_of_the_package_bjontegaard(other):
    curves = [part for curve in (CURVE, other) for part in zip(*curve, strict=True)]
    options = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}
    found = delta(CURVE, other)
    assert found.bd_rate == pytest.approx(bjontegaard.bd_rate(*curves, **options), abs=1e-6)
    assert found.bd_quality == pytest.approx(bjontegaard.bd_psnr(*curves, **options), abs=1e-6)


def test_curves_that_cross_have_a_bd_rate_between_their_extremes():
    steep = [(0.3, 20.0), (0.5, 26.0), (0.7, 30.0), (0.9, 34.0)]
    assert -60 < delta(CURVE, steep).bd_rate < 0


def test_published_curves_of_three_points_get_a_flagged_bd_rate(paper):
    rows = [row for row in paper.deltas.to_pylist() if row["reason"] is None]
    assert all("3 points" in row["flag"] and row["bd_rate_low"] is None for row in rows)
    found = {(row["arch"], row["curve"], row["anchor"], row["test"]): row for row in rows}
    assert found["resnet50", "JPEG", "Fine-tuned", "Expert"]["bd_quality"] == pytest.approx(0.5, abs=0.2)


def test_codecs_and_methods_are_compared_on_a_real_dataset(collected):
    rows = {
        (row["quality"], row["between"], row["anchor"], row["test"]): row for row in collected.deltas.to_pylist()
    }
    psnr = rows["PSNR", "codecs", "JPEG", "WebP"]
    assert psnr["bd_rate_low"] < psnr["bd_rate"] < psnr["bd_rate_high"] < 0
    methods = rows["accuracy", "methods", "Fine-tuned", "Expert"]
    assert methods["bd_rate_low"] < methods["bd_rate"] < 0
