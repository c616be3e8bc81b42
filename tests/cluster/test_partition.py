"""A node behind a network that silently fails is given up, and what it does meanwhile harms nothing."""

import os
import shutil
import subprocess

import pytest

from .conftest import end, until
from .ray_cluster import Cluster

pytest.importorskip("ray", reason="needs ray (tests/cluster/install.sh)")
if os.geteuid() or not shutil.which("ip"):
    pytest.skip("needs root and iproute2 for network namespaces", allow_module_level=True)

HOSTS = {"head": "10.213.77.1", "near": "10.213.77.3", "far": "10.213.77.2"}


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


@pytest.fixture
def spaces(ground):
    """Two network namespaces and a wire between them."""
    near, far = f"near-{ground.mark[:6]}", f"far-{ground.mark[:6]}"
    try:
        for name in (near, far):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", near, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", far)
        for name, address in ((near, HOSTS["head"]), (near, HOSTS["near"]), (far, HOSTS["far"])):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
    except subprocess.CalledProcessError as error:
        ip("netns", "del", near, check=False)
        ip("netns", "del", far, check=False)
        pytest.skip(f"needs network namespaces: {error.stderr.decode().strip()}")
    yield {"head": near, "near": near, "far": far}
    ground.kill()
    ip("netns", "del", near, check=False)
    ip("netns", "del", far, check=False)


def test_a_partition_costs_a_minute_and_changes_nothing(ground, spaces, tree, same):
    cluster = Cluster(ground, HOSTS, spaces)
    cluster.add("near")
    cluster.add("far")
    d = ground.folder / "d"
    job = ground.begin(*cluster.command(tree, d))
    cluster.at_work(d, "NODE=far")
    ip("-n", spaces["far"], "link", "set", "wire", "down")  # nobody gets a reset
    assert "6 shards made" in end(job)
    until(lambda: not list(d.glob(".partial/*")), "the worker behind it finishes its shard", 30)
    assert same(d)
