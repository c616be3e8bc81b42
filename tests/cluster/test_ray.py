"""A Ray cluster of two nodes makes what one machine makes, also when workers and nodes are killed."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from .conftest import BIN, WORK, end, free_port, until
from .ray_cluster import Cluster

pytest.importorskip("ray", reason="needs ray (tests/cluster/install.sh)")


@pytest.fixture(scope="module")
def cluster(ground):
    cluster = Cluster(ground)
    cluster.add("one")
    cluster.add("two")
    return cluster


def test_a_worker_killed_in_mid_shard_changes_nothing(cluster, tree, same):
    d = cluster.ground.folder / "worker"
    job = cluster.ground.begin(*cluster.command(tree, d))
    os.kill(cluster.at_work(d), signal.SIGKILL)
    assert "6 shards made" in end(job)
    assert same(d)


def test_a_stopped_job_leaves_nothing_half_way_and_goes_on(cluster, tree, same, digests, undisturbed):
    d = cluster.ground.folder / "stopped"
    job = cluster.ground.begin(*cluster.command(tree, d))
    until(lambda: list(d.glob("clean/*.parquet")), "a shard", 40)
    cluster.at_work(d)
    job.send_signal(signal.SIGTERM)
    assert "stopped by SIGTERM" in end(job, 143)
    assert digests(d).items() <= digests(undisturbed).items()
    assert not (d / ".partial").exists()
    cluster.ground.run(*cluster.command(tree, d))
    assert same(d)


def test_two_jobs_at_once_make_one_dataset_where_the_commands_stand(cluster, tree, same):
    folder = cluster.ground.folder
    (folder / "pictures").symlink_to(tree)
    jobs = [cluster.ground.begin(*cluster.command("pictures", "twice"), cwd=folder) for _ in range(2)]
    for job in jobs:
        end(job)
    assert same(folder / "twice")


def test_a_node_killed_in_mid_shard_changes_nothing(cluster, tree, same):
    d = cluster.ground.folder / "node"
    job = cluster.ground.begin(*cluster.command(tree, d))
    cluster.at_work(d, "NODE=two")
    cluster.ground.kill("NODE=two")
    assert "6 shards made" in end(job)
    assert same(d)


@pytest.fixture(scope="module")
def old_pillow(ground) -> Path:
    folder = ground.folder / "pillow"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder, "pillow==11.3.0"]
    if ground.run(*pip, check=False).returncode:
        pytest.skip("needs pillow 11.3.0 from PyPI, for a node with another version")
    return folder


def test_a_node_with_other_library_versions_gets_no_shards(cluster, tree, same, old_pillow):
    d = cluster.ground.folder / "versions"
    cluster.add("odd", PYTHONPATH=str(old_pillow))
    output = end(cluster.ground.begin(*cluster.command(tree, d)))
    assert "would make other bytes than column 'clean'" in output
    assert 'pillow: "' in output
    assert same(d)


def test_a_node_without_bpg_gets_no_shards_of_it(cluster, tree, tmp_path, digests):
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'av'\")")
    cluster.add("bare", PYTHONPATH=str(tmp_path))
    d, alone = cluster.ground.folder / "bpg", tmp_path / "alone"
    work = ["--distortions", "bpg-46", "--shard-size", 1, "--limit", 8]
    output = end(cluster.ground.begin(*cluster.command(tree, d, *work)))
    assert "cannot make bpg-46: No module named 'av'" in output
    cluster.ground.run(BIN / "distort", "run", tree, alone, *work)
    assert digests(d) == digests(alone)


def test_an_address_where_nobody_answers_is_said_in_one_line_and_soon(ground, tree, tmp_path):
    begun = time.monotonic()
    address = f"127.0.0.1:{free_port()}"
    command = [BIN / "distort", "run", tree, tmp_path / "d", *WORK, "--engine", "ray", "--address", address]
    made = ground.run(*command, check=False)
    assert made.returncode == 1
    assert made.stderr.splitlines()[-1].startswith(f"Error: no Ray cluster answers at {address}")
    assert "Traceback" not in made.stderr
    assert time.monotonic() - begun < 30
