"""How the work of a machine is shared out: few shards open, nobody idle, in simulated time."""

import importlib.util
from pathlib import Path

import pytest

from distort.engines.base import run
from distort.units import MakePictures, PictureWork
from shards.dataset import Dataset
from shards.plan import Plan
from shards.storage import Storage

path = Path(__file__).parents[2] / "benchmarks" / "distort_workers.py"
spec = importlib.util.spec_from_file_location("distort_workers", path)
workers_benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(workers_benchmark)


@pytest.mark.parametrize(
    ("pictures", "workers"),
    [(200, 2), (2000, 2), (5000, 16), pytest.param(50_000, 64, marks=pytest.mark.slow)],
)
def test_workers_are_busy_whatever_the_shard_size(pictures, workers):
    """15 ms a picture on average; one in 40 takes three times as long."""
    assert workers_benchmark.efficiency(pictures, 1000, workers, 0.015, 0.00035) > 0.95


@pytest.fixture
def plan(tmp_path):
    """40 pictures in 4 shards, of which nothing is read here."""
    dataset = object.__new__(Dataset)
    dataset.storage, dataset.plan = Storage(tmp_path), Plan({}, None, 400, 100, 1, "0" * 64)
    return dataset


def test_few_shards_are_open_at_a_time_and_chunks_shrink_at_the_end(plan, tmp_path):
    engine = workers_benchmark.Simulated(plan, 2, 0.015, 0.0003)
    work = PictureWork(plan, range(4), 2, 1.0)
    sizes, most = [], 0
    start = engine.start

    def watched(unit):
        nonlocal most
        most = max(most, len(work.open))
        if isinstance(unit, MakePictures):
            sizes.append(len(unit.rows))
        start(unit)

    engine.start = watched
    list(run(engine, work))
    assert most <= 2
    assert sum(sizes) == 400
    assert max(sizes) == 8
    assert sizes[-2:] == [1, 1]
    assert list(tmp_path.iterdir()) == []  # scratch folders are gone
