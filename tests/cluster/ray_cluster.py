"""A Ray cluster on this machine whose nodes can be lost."""

from __future__ import annotations

import sys
from pathlib import Path

from .conftest import BIN, WORK, Ground, free_port, until

#: One address per node. Ray takes 127.0.0.1 for "whatever address this machine has".
HOSTS = {"head": "127.0.0.2", "one": "127.0.0.3", "two": "127.0.0.4", "odd": "127.0.0.5", "bare": "127.0.0.6"}


class Cluster:
    """A head without CPUs of its own, and nodes that come and go."""

    def __init__(self, ground: Ground, hosts: dict[str, str] = HOSTS, spaces: dict[str, str] | None = None):
        self.ground, self.hosts = ground, hosts
        self.spaces = spaces or {}  #: network namespaces, by node
        self.address = f"{hosts['head']}:{free_port()}"
        ground.env |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": ground.mark * 2,
            "RAY_grpc_client_keepalive_time_ms": "10000",
            "RAY_grpc_client_keepalive_timeout_ms": "10000",
        }
        self._start("head", "--head", "--port", self.address.partition(":")[2], "--num-cpus", 0,
                    "--include-dashboard=false", "--ray-client-server-port", free_port())  # fmt: skip
        until(self.alive, "the head", 40)

    def _start(self, name: str, *options: object, **env: str) -> None:
        command = [*self.inside(name), BIN / "ray", "start", *options, "--block", "--disable-usage-stats"]
        self.ground.start(
            *command, "--node-ip-address", self.hosts[name], "--object-store-memory", 80_000_000,
            "--dashboard-agent-listen-port", free_port(), NODE=name, **env,
        )  # fmt: skip

    def inside(self, name: str) -> list[str]:
        return ["ip", "netns", "exec", self.spaces[name]] if name in self.spaces else []

    def add(self, name: str, **env: str) -> None:
        self._start(name, "--address", self.address, "--num-cpus", 1, **env)
        until(lambda: self.hosts[name] in self.alive(), f"node {name}", 40)

    def alive(self) -> list[str]:
        """Addresses of the nodes."""
        code = (
            "import ray; ray.init(log_to_driver=False); "
            "print('ALIVE', *(n['NodeManagerAddress'] for n in ray.nodes() if n['Alive']))"
        )
        python = [*self.inside("head"), sys.executable, "-c", code]
        asked = self.ground.run(*python, check=False, RAY_ADDRESS=self.address)
        return next((line.split()[1:] for line in asked.stdout.splitlines() if line.startswith("ALIVE")), [])

    def command(self, tree: Path, d: Path, *more: object) -> list[object]:
        distort = [*self.inside("head"), BIN / "distort", "run", tree, d, *(more or WORK)]
        return [*distort, "--engine", "ray", "--address", self.address]

    def at_work(self, d: Path, *marks: str) -> int:
        """A worker that is in the middle of a shard, with these marks in its environment."""

        def look():
            folders = [folder for folder in d.glob(".partial/*") if any(folder.glob("*.tar"))]
            pids = {int(folder.name.rsplit("-", 2)[1]) for folder in folders}
            return next(iter(pids.intersection(self.ground.pids(*marks))), None)

        return until(look, f"a worker at work {marks}", 30)
