"""The local engine: one process per worker, one shard at a time each.

A worker that dies (killed, out of memory) costs the shard it was on one retry; a second death makes the shard
a failure, and the others go on. Workers end by themselves when their parent is gone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait

from distort.engines import THREADS, Done, Failed, Function, Progress, Refused, attempt

DEATHS = 2  #: a shard that kills its worker this often has failed


class _Worker:
    def __init__(self, function: Function):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, function), daemon=True)
        self.process.start()
        theirs.close()  # so that the worker's death is the end of the pipe
        self.shard: int | None = None

    def give(self, shard: int) -> None:
        self.shard = shard
        self.connection.send(shard)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def map_unordered(function: Function, shards: Iterable[int], workers: int) -> Iterator[Progress | Done | Failed]:
    """Call ``function(shard, report)`` for every shard in worker processes; yield what happens as it happens.

    Leaving the iterator kills the workers.
    """
    waiting = deque(shards)
    deaths: dict[int, int] = {}
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    crew: list[_Worker] = []
    try:
        while waiting or any(worker.shard is not None for worker in crew):
            busy = sum(worker.shard is not None for worker in crew)
            while len(crew) < min(workers, busy + len(waiting)):
                crew.append(_Worker(function))
            for worker in crew:
                if worker.shard is None and waiting:
                    worker.give(waiting.popleft())
            for connection in wait([worker.connection for worker in crew]):
                worker = next(w for w in crew if w.connection is connection)
                try:
                    event = connection.recv()
                except (EOFError, OSError):
                    crew.remove(worker)
                    worker.end()
                    event = _died(worker, waiting, deaths)
                if isinstance(event, Done | Failed):
                    worker.shard = None
                if event:
                    yield event
    finally:
        for worker in crew:
            worker.end()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _died(worker: _Worker, waiting: deque[int], deaths: dict[int, int]) -> Progress | Failed | None:
    if worker.shard is None:
        return None
    deaths[worker.shard] = deaths.get(worker.shard, 0) + 1
    if deaths[worker.shard] >= DEATHS:
        code = worker.process.exitcode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return Failed(worker.shard, f"its worker died {DEATHS} times ({how}; out of memory?)")
    waiting.appendleft(worker.shard)
    return Progress(worker.shard, 0, 0)


def _work(connection: Connection, function: Function) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        shard = connection.recv()
        report = lambda done, bad, shard=shard: connection.send(Progress(shard, done, bad))  # noqa: E731
        event = attempt(function, shard, report)
        if isinstance(event, Refused):  # there is no other machine
            event = Failed(shard, event.reason, storage=True)
        connection.send(event)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
