"""TV-L1 against its definition."""

import numpy as np
import pytest

from distort import codecs
from distort.codecs.tv_l1 import divergence, energy, gradient, solve


@pytest.fixture
def tile(crop):
    return crop[60:124, 60:124].astype(np.float32)


def test_the_divergence_is_the_negative_adjoint_of_the_gradient():
    rng = np.random.default_rng(0)
    u, p = rng.random((7, 5, 3)), rng.random((2, 7, 5, 3))
    assert (gradient(u) * p).sum() == pytest.approx(-(u * divergence(p)).sum())


@pytest.mark.parametrize("weight", [4.0, 50.0])
def test_a_large_weight_returns_the_input(crop, weight):
    assert np.array_equal(codecs.get(f"tvl1-{weight:g}").roundtrip(crop).rgb, crop)


def test_a_small_weight_flattens(tile):
    sizes = [np.abs(gradient(solve(tile, weight))).mean() for weight in (4, 1, 0.3, 0.05)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.15 * sizes[0]


def test_the_energy_falls_and_further_iterations_hardly_change_it(tile):
    energies = [energy(solve(tile, 0.8, iterations), tile, 0.8) for iterations in (0, 10, 40, 1000)]
    assert energies == sorted(energies, reverse=True)
    assert energies[-2] - energies[-1] < 0.2 * (energies[0] - energies[-1])


def test_a_disc_stays_or_goes_by_its_size():
    """With isotropic TV a disc of radius r is kept where lambda > 2 / r, and vanishes below."""
    y, x = np.mgrid[:48, :48]
    disc = 100.0 + 100 * (((y - 24) ** 2 + (x - 24) ** 2) <= 8**2)[..., None].astype(np.float32)
    assert solve(disc, 0.5, 5000)[24, 24, 0] == pytest.approx(200, abs=5)
    assert solve(disc, 0.1, 5000)[24, 24, 0] == pytest.approx(100, abs=5)


def test_it_is_a_step_of_a_chain(crop):
    picture = np.ascontiguousarray(crop[:64, :64])
    plain, smoothed = (codecs.get(name).roundtrip(picture) for name in ("jpeg-10", "tvl1-0.5+jpeg-10"))
    assert smoothed.bytes < plain.bytes
