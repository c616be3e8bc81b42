"""What a run asks of an object store, and the simulation behind docs/scaling.md."""

import importlib.util
import pickle
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from distort.engines.ray import _function
from distort.shard import ShardJob, ShardMaker

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scaling.py"


@pytest.fixture(scope="module")
def scaling():
    spec = importlib.util.spec_from_file_location("scaling", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scaling"] = module
    spec.loader.exec_module(module)
    return module


CALM = Namespace(stragglers=0.0, preempted=1e9, restart=0.0)


def test_one_worker_that_is_never_interrupted_needs_the_ideal_time(scaling):
    outcome = scaling.simulate(10, 5.0, 1, 10, CALM)
    assert outcome.makespan == pytest.approx(outcome.ideal)
    assert outcome.wasted == 0


def test_a_part_for_each_worker_waits_for_the_slowest_and_a_queue_does_not(scaling):
    some_slow = Namespace(stragglers=0.1, preempted=1e9, restart=0.0)
    own = scaling.simulate(1000, 1.0, 50, 50, some_slow)
    queue = scaling.simulate(1000, 1.0, 50, 1000, some_slow)
    assert own.makespan > 3 * own.ideal
    assert queue.makespan < 1.3 * queue.ideal


def test_pre_emptions_waste_more_the_larger_the_shards(scaling):
    often = Namespace(stragglers=0.0, preempted=1.0, restart=10.0)
    small, large = (scaling.simulate(n, 36_000 / n, 10, n, often) for n in (1000, 100))
    assert 0 < small.wasted < large.wasted


@pytest.mark.slow
def test_a_run_asks_no_more_of_an_object_store_than_the_documentation_says():
    said = subprocess.run([sys.executable, SCRIPT, "requests"], capture_output=True, text=True, check=True).stdout
    assert "a picture 1, a shard 9 and 3 for each column" in said
    assert (
        "**one per picture, 9 per shard, and 3 per column"
        in (SCRIPT.parents[1] / "docs" / "scaling.md").read_text()
    )


def test_a_process_of_a_ray_cluster_opens_the_dataset_once_per_run():
    pickled = pickle.dumps(ShardMaker(ShardJob("d", ("jpeg-10",))))
    assert _function(pickled, "a run") is _function(pickled, "a run")
    assert _function(pickled, "a run") is not _function(pickled, "another run")
