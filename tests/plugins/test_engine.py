"""An engine, written and installed as another package, makes what ours makes, and its deaths are handled by us."""

from __future__ import annotations

import pytest

import shards


@pytest.fixture(scope="module")
def engine(plugin):
    return plugin("engine")


@pytest.fixture
def work(dataset, tree, tmp_path):
    columns = ",".join(shards.open(dataset).columns)
    return [
        "distort",
        "run",
        tree,
        tmp_path / "d",
        "--distortions",
        columns,
        "--shard-size",
        5,
        "--engine",
        "pool",
    ]


@pytest.mark.slow
def test_it_makes_the_same_dataset(engine, work, dataset, tmp_path, digests):
    made = engine.run(*work, "--workers", 2)
    assert made.returncode == 0, made.stderr
    assert "5 shards made" in made.stdout
    assert digests(tmp_path / "d") == digests(dataset)


@pytest.mark.slow
def test_a_shard_that_kills_its_workers_fails_and_the_others_go_on(engine, installed, work, tmp_path):
    deadly = (
        "import os, signal, sys, distort.shard as s\n"
        "whole = s.ShardMaker._whole\n"
        "kill = lambda maker, shard, report: (\n"
        "    os.kill(os.getpid(), signal.SIGKILL) if shard == 3 else whole(maker, shard, report))\n"
        "s.ShardMaker._whole = kill\n"
    )
    (tmp_path / "sitecustomize.py").write_text(deadly)
    deadly_engine = installed(engine.path, tmp_path)
    made = deadly_engine.run(*work, "--workers", 1)
    assert made.returncode == 1
    assert "shard 000003 failed: its worker died 2 times" in made.stderr
    assert len(shards.open(tmp_path / "d").committed("clean")) == 4


def test_an_unknown_engine_lists_it(engine, work):
    made = engine.run(*work[:-1], "pol")
    assert made.returncode == 2
    assert "did you mean 'pool'? there are local, ray, pool" in made.stderr


def test_it_takes_no_address(engine, work):
    made = engine.run(*work, "--address", "head:6379")
    assert made.returncode == 2
    assert "--engine pool takes no --address" in made.stderr
