"""The Ray engine: every shard is one plain task of one CPU on the nodes of a cluster.

Retries are ours and not Ray's: a shard that is lost with its node goes elsewhere, one that kills its worker twice
has failed, and a node that would make other bytes than the dataset promises gets no more of them.
"""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress

from distort.engines import THREADS, Done, Failed, Function, Progress, Refused, attempt

DEATHS = 2  #: a shard that kills its worker this often has failed
LOSSES = 10  #: a shard that loses its node this often has failed
LOOK_EVERY = 1  #: seconds between a task's looks whether the job was stopped
PATIENCE = 30  #: seconds for tasks of a stopped job to remove their unfinished files

#: How soon this process takes a node behind a broken network for lost; by default that takes minutes.
KEEPALIVE = {"RAY_grpc_client_keepalive_time_ms": "10000", "RAY_grpc_client_keepalive_timeout_ms": "10000"}


def map_unordered(
    function: Function, shards: Iterable[int], workers: int | None = None, address: str | None = None
) -> Iterator[Progress | Done | Failed | Refused]:
    """Call ``function(shard, report)`` for every shard on a Ray cluster; yield what happens as it happens.

    ``workers`` is the largest number of tasks in flight, by default two per CPU of the cluster. Progress comes
    once per shard. Leaving the iterator stops the tasks. Raises OSError when there is no cluster.
    """
    waiting = deque(shards)
    if not waiting:
        return
    crowd = _Crowd(_connect(address), function)
    try:
        while waiting or crowd.flying:
            limit = workers or 2 * crowd.cpus()
            while waiting and len(crowd.flying) < limit:
                crowd.start(waiting.popleft())
            for events in crowd.wait():
                if not isinstance(events[-1], Done | Failed):
                    waiting.appendleft(events[-1].shard)
                yield from events
    finally:
        crowd.disperse()


class _Crowd:
    """Tasks in flight, and what is known of shards and nodes that failed."""

    def __init__(self, ray, function: Function):
        self.ray = ray
        self.task = ray.remote(num_cpus=1, max_retries=0)(_task)
        self.function = pickle.dumps(function)
        self.stop = f"codecproof-stop-{secrets.token_hex(8)}"
        self.flying: dict = {}  #: task -> shard
        self.deaths, self.losses = Counter(), Counter()
        self.unfit: set[str] = set()  #: ids of nodes

    def cpus(self) -> int:
        return max(1, int(self.ray.cluster_resources().get("CPU", 0)))

    def start(self, shard: int) -> None:
        others = {"label_selector": {"ray.io/node-id": f"!in({','.join(self.unfit)})"}} if self.unfit else {}
        task = self.task.options(name=f"shard-{shard:06d}", **others)
        self.flying[task.remote(self.function, shard, self.stop)] = shard

    def wait(self) -> Iterator[list[Progress | Done | Failed | Refused]]:
        """What happened to tasks that ended; the last event of each says whether its shard is through."""
        ready, _ = self.ray.wait(list(self.flying), timeout=5)
        for task in ready:
            shard = self.flying.pop(task)
            try:
                event, done, bad, node = self.ray.get(task)
            except self.ray.exceptions.RayTaskError as error:
                reason = f"the task could not begin: {error}; every node needs codecproof installed"
                yield [Failed(shard, reason, storage=True)]
            except self.ray.exceptions.RayError as error:
                yield [self._lost(shard, error)]
            else:
                if isinstance(event, Refused):
                    event = self._refused(event, node)
                yield [event] if isinstance(event, Refused) else [Progress(shard, done, bad), event]

    def _lost(self, shard: int, error: Exception) -> Progress | Failed:
        died = isinstance(error, self.ray.exceptions.WorkerCrashedError | self.ray.exceptions.OutOfMemoryError)
        count, limit = (self.deaths, DEATHS) if died else (self.losses, LOSSES)
        count[shard] += 1
        if count[shard] >= limit:
            what = "worker died" if died else "node was lost"
            return Failed(shard, f"its {what} {limit} times: {error}")
        return Progress(shard, 0, 0)

    def _refused(self, event: Refused, node: str) -> Refused | Failed:
        self.unfit.add(node)
        if self.unfit.issuperset(node["NodeID"] for node in self.ray.nodes() if node["Alive"]):
            return Failed(event.shard, event.reason, storage=True)
        return event

    def disperse(self) -> None:
        """Let what is still flying stop by itself, so that it removes its unfinished files; then leave.

        Not by ``ray.cancel``: with tasks that end in this moment it can bring this process down (Ray 2.60).
        """
        if self.flying:
            with suppress(self.ray.exceptions.RayError, RuntimeError):
                from ray.experimental import internal_kv

                internal_kv._internal_kv_put(self.stop, b"")
                self.ray.wait(list(self.flying), num_returns=len(self.flying), timeout=PATIENCE)
                internal_kv._internal_kv_del(self.stop)
        self.ray.shutdown()


class _Stop(BaseException):
    """Passes every ``except Exception`` of the work."""


def _task(function: bytes, shard: int, stop: str) -> tuple[Done | Failed | Refused, int, int, str]:
    """Runs on the cluster. Gives up when ``stop`` is in the key-value store of the cluster."""
    import ray
    from ray.experimental import internal_kv

    os.environ.update(dict.fromkeys(THREADS, "1"))  # before NumPy and the codecs are imported
    counts, looked = (0, 0), 0.0

    def report(done: int, bad: int) -> None:
        nonlocal counts, looked
        counts = (done, bad)
        if time.monotonic() - looked > LOOK_EVERY:
            looked = time.monotonic()
            if internal_kv._internal_kv_exists(stop):
                raise _Stop

    try:
        report(0, 0)
        event = attempt(pickle.loads(function), shard, report)
    except _Stop:
        event = Failed(shard, "stopped")
    return event, *counts, ray.get_runtime_context().get_node_id()


def _connect(address: str | None):
    """Join a cluster that is there. Raises OSError."""
    for name, value in KEEPALIVE.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise OSError("--engine ray needs Ray: pip install 'codecproof[ray]'") from None
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    _knock(address)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises many kinds
        hint = "start one with 'ray start --head', or give --address or RAY_ADDRESS; RAY_AUTH_MODE must be its own"
        raise OSError(f"cannot join a Ray cluster at {address}: {error}; {hint}") from error
    finally:
        for number, handler in before.items():  # Ray sets its own, which would end us without our clean-up
            signal.signal(number, handler)
    return ray


def _knock(address: str) -> None:
    """Ray waits for minutes where nobody answers, and aborts the process in the end."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise OSError(f"no Ray cluster answers at {address}: {error}; check --address or RAY_ADDRESS") from None
