import math

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from report import bd

CURVE = [(0.35, 22.8), (0.48, 25.3), (0.9, 29.1), (1.7, 32.0)]


def scaled(curve, factor):
    return [(factor * rate, quality) for rate, quality in curve]


def test_a_curve_against_itself_is_0_percent():
    assert bd.delta(CURVE, CURVE).bd_rate == pytest.approx(0)


@pytest.mark.parametrize(("factor", "percent"), [(0.5, -50), (2, 100), (0.9, -10)])
def test_a_scaled_rate_is_that_scale(factor, percent):
    assert bd.delta(CURVE, scaled(CURVE, factor)).bd_rate == pytest.approx(percent)


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
    expected = 100 * (10 ** (np.trapezoid(logs[1] - logs[0], grid) / (high - low)) - 1)
    assert bd.delta(anchor, other).bd_rate == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (CURVE[:1], "test has 1 of 4 points"),
        ([(r, 25.0) for r, _ in CURVE], "flat or falls: 1 of its 4"),
        ([(r, -q) for r, q in CURVE], "flat or falls: 1 of its 4"),
        ([(r, q + 50) for r, q in CURVE], "no quality that both reach"),
        ([*CURVE[:3], (1.7, math.inf)], "test has 3 of 4 points"),
        ([*CURVE[:3], (1.7, None)], "test has 3 of 4 points"),
    ],
)
def test_where_there_is_no_bd_rate_there_is_a_reason(test, reason):
    found = bd.delta(CURVE, test)
    assert found.bd_rate is None
    assert reason in found.reason


def test_a_point_that_costs_more_and_is_no_better_is_left_out_and_counted():
    found = bd.delta(CURVE, [*scaled(CURVE, 0.5), (0.5, 27.0)])
    assert (found.bd_rate, found.dropped) == (pytest.approx(-50), 1)


def test_curves_that_cross_have_a_bd_rate_between_their_extremes():
    steep = [(0.3, 20.0), (0.5, 26.0), (0.7, 30.0), (0.9, 34.0)]
    assert -60 < bd.delta(CURVE, steep).bd_rate < 0


def test_published_curves_of_three_points_get_no_bd_rate(paper):
    assert set(paper.deltas["bd_rate"].to_pylist()) == {None}
    assert all("3 of 4 points" in reason for reason in paper.deltas["reason"].to_pylist())


def test_codecs_and_methods_are_compared_on_a_real_dataset(collected):
    rows = {
        (row["quality"], row["between"], row["anchor"], row["test"]): row for row in collected.deltas.to_pylist()
    }
    assert rows["PSNR", "codecs", "JPEG", "WebP"]["bd_rate"] < 0
    assert rows["accuracy", "methods", "fine-tuned", "expert"]["bd_rate"] < 0
