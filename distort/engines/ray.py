"""The Ray engine: every shard is one plain task of one CPU on the nodes of a cluster.

Retries are handled by ``distort.engines.base``, not by Ray. A node that would write different bytes gets no more
shards.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from distort.engines.base import THREADS, Died, Engine, Function, Lost, Outcome, Raised, Unfit, Unit, attempt

LOOK_EVERY = 1  #: seconds after which a task checks again whether the job was stopped
PATIENCE = 30  #: seconds for tasks of a stopped job to remove their unfinished files

#: Keep-alive settings that detect an unreachable node within seconds; the defaults take minutes.
KEEPALIVE = {"RAY_grpc_client_keepalive_time_ms": "10000", "RAY_grpc_client_keepalive_timeout_ms": "10000"}


class Ray(Engine):
    """Plain tasks of one CPU. ``workers`` is the largest number in flight, by default two per CPU of the cluster.

    Raises OSError when there is no cluster.
    """

    addressed = True

    def __init__(self, function: Function, workers: int | None = None, address: str | None = None):
        super().__init__(function, workers, address)
        self.check(address)  # again: planning may have taken hours
        self.ray = _connect(address)
        self.task = self.ray.remote(num_cpus=1, max_retries=0)(_task)
        self.pickled = pickle.dumps(function)
        self.stop = f"codecproof-stop-{secrets.token_hex(8)}"
        self.flying: dict[Any, Unit] = {}
        self.unfit: set[str] = set()  #: ids of nodes
        self.limit = self._limit()

    @classmethod
    def check(cls, address: str | None) -> None:
        if not find_spec("ray"):
            raise OSError("--engine ray needs Ray: pip install 'codecproof[ray]'")
        if address and ":" not in address and address not in ("auto", "local"):
            raise OSError(f"--address {address} has no port: give HOST:PORT, as in head:6379")
        _knock(_address(address))

    def _limit(self) -> int:
        return self.workers or 2 * max(1, int(self.ray.cluster_resources().get("CPU", 0)))

    def room(self) -> int:
        return self.limit - len(self.flying)

    def start(self, unit: Unit) -> None:
        others = {"label_selector": {"ray.io/node-id": f"!in({','.join(self.unfit)})"}} if self.unfit else {}
        task = self.task.options(name=f"shard-{unit.shard:06d}", **others)
        self.flying[task.remote(self.pickled, unit, self.stop)] = unit

    def wait(self) -> Iterator[tuple[Unit, Outcome]]:
        errors = self.ray.exceptions
        self.limit = self._limit()  # nodes come and go
        ready, _ = self.ray.wait(list(self.flying), timeout=5)
        for task in ready:
            unit = self.flying.pop(task)
            try:
                outcome = self.ray.get(task)
            except errors.RayTaskError as error:
                reason = f"the task could not start: {error}; codecproof must be installed on every node"
                outcome = Raised(reason, storage=True)
            except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
                outcome = Died(str(error))
            except errors.RayError as error:
                outcome = Lost(str(error))
            yield unit, outcome

    def avoid(self, node: str) -> bool:
        self.unfit.add(node)
        return not self.unfit.issuperset(node["NodeID"] for node in self.ray.nodes() if node["Alive"])

    def close(self) -> None:
        """Ask running tasks to stop, so that they remove their unfinished files; then disconnect.

        Does not use ``ray.cancel``, which can crash this process when a task ends at the same moment (Ray 2.60).
        """
        if self.flying:
            with suppress(self.ray.exceptions.RayError, RuntimeError):
                from ray.experimental import internal_kv

                internal_kv._internal_kv_put(self.stop, b"")
                self.ray.wait(list(self.flying), num_returns=len(self.flying), timeout=PATIENCE)
                internal_kv._internal_kv_del(self.stop)
        self.ray.shutdown()


class _Stop(BaseException):
    """Ends a task; a BaseException, so that no ``except Exception`` in the work catches it."""


@functools.lru_cache(maxsize=1)
def _function(pickled: bytes, run: str) -> Function:
    """The function of a run, cached per process so that the dataset is opened once and not for every shard."""
    return pickle.loads(pickled)


def _task(function: bytes, unit: Unit, stop: str) -> Outcome:
    """Runs on the cluster. Stops when the key ``stop`` appears in the cluster's key-value store."""
    import ray
    from ray.experimental import internal_kv

    os.environ.update(dict.fromkeys(THREADS, "1"))  # before NumPy and the codecs are imported
    looked = 0.0

    def report(done: int, bad: int) -> None:
        nonlocal looked
        if time.monotonic() - looked > LOOK_EVERY:
            looked = time.monotonic()
            if internal_kv._internal_kv_exists(stop):
                raise _Stop

    try:
        report(0, 0)
        outcome = attempt(_function(function, stop), unit, report)
    except _Stop:
        return Raised("stopped")
    node = ray.get_runtime_context().get_node_id()
    return replace(outcome, node=node) if isinstance(outcome, Unfit) else outcome


def _connect(address: str | None) -> Any:
    """Connect to a running cluster. Raises OSError."""
    for name, value in KEEPALIVE.items():
        os.environ.setdefault(name, value)
    import ray

    address = _address(address)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises many types
        hint = "start one with 'ray start --head', or check --address, RAY_ADDRESS and RAY_AUTH_MODE"
        raise OSError(f"cannot join a Ray cluster at {address}: {error}; {hint}") from error
    finally:
        for number, handler in before.items():  # Ray installs handlers that would skip our clean-up
            signal.signal(number, handler)
    return ray


def _address(given: str | None) -> str:
    return given or os.environ.get("RAY_ADDRESS") or "auto"


def _knock(address: str) -> None:
    """Check that something listens at ``address``. Ray itself would wait for minutes, then abort the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise OSError(f"no Ray cluster answers at {address}: {error}; check --address or RAY_ADDRESS") from None
