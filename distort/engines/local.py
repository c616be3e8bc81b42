"""The local engine: worker processes on this machine, each of which runs one unit at a time.

They share the machine's disk, so all of them work on the same few shards. A worker that dies is replaced, and only
its current unit is lost. Workers exit when their parent is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Pipe, wait
from typing import Any

from distort.engines.base import THREADS, Died, Engine, Function, Lost, Outcome, Unit

STILLBORN = 3  #: the engine gives up after this many workers in a row exited during start-up
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}

#: Make glibc keep freed memory for the next picture: returning it to the kernel and faulting it in again costs a
#: tenth of a JPEG-only run. The user's own settings take precedence.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**26)}

#: A fresh interpreter instead of a fork: it does not import the user's script and inherits no locks of threads.
BEGIN = (
    "import sys; sys.path[:] = sys.argv[3:]; "  # so that nothing is imported from the current folder
    "from distort.engines.worker import work; work(int(sys.argv[1]), int(sys.argv[2]))"
)


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


class Local(Engine):
    splits = True

    def __init__(self, function: Function, workers: int | None = None, address: str | None = None):
        super().__init__(function, workers, address)
        self.limit = workers or cores()
        self.crew: list[_Worker] = []
        self.stillborn = 0

    def room(self) -> int:
        return self.limit - sum(worker.unit is not None for worker in self.crew)

    def expect(self, count: int) -> None:
        while len(self.crew) < min(self.limit, count):
            self.crew.append(_Worker(self.function))

    def start(self, unit: Unit) -> None:
        idle = next((worker for worker in self.crew if worker.unit is None), None)
        if idle is None:
            idle = _Worker(self.function)
            self.crew.append(idle)
        idle.give(unit)

    def wait(self) -> Iterator[tuple[Unit, Outcome]]:
        ready = wait([worker.connection for worker in self.crew])
        for worker in [worker for worker in self.crew if worker.connection in ready]:
            outcome: Any
            try:
                outcome = worker.connection.recv()
            except (EOFError, OSError):
                self.crew.remove(worker)
                outcome = self._died(worker)
            else:
                if outcome is None:  # it has begun
                    worker.begun, self.stillborn = True, 0
                    continue
            unit, worker.unit = worker.unit, None
            if unit is not None:
                yield unit, outcome

    def _died(self, worker: _Worker) -> Died | Lost:
        how = worker.end(grace=10)  # its pipe is closed: it is about to exit
        if worker.begun:
            return Died(f"{how}; out of memory?" if how.endswith("SIGKILL") else how, worker.crashed)
        self.stillborn += 1
        if self.stillborn >= STILLBORN:
            raise OSError(f"worker processes exit during start-up ({how}); see what they printed")
        return Lost(f"its worker exited during start-up ({how})")

    def close(self) -> None:
        for worker in self.crew:
            worker.process.kill()
        while self.crew:
            self.crew.pop().end()


class _Worker:
    def __init__(self, function: Function):
        self.connection, theirs = Pipe()
        life, self._life = os.pipe()  # workers read it and see its end when we are gone
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", BEGIN, str(theirs.fileno()), str(life), *sys.path],
                pass_fds=(theirs.fileno(), life),
                env=MALLOC | os.environ | dict.fromkeys(THREADS, "1"),
                stdin=subprocess.DEVNULL,
            )
        finally:
            theirs.close()  # so that the pipe ends when the worker dies
            os.close(life)
        self.unit: Unit | None = None
        self.begun = False
        self._send(function)

    def give(self, unit: Unit) -> None:
        self.unit = unit
        self._send(unit)

    def _send(self, thing: object) -> None:
        with suppress(OSError):  # it is dead; ``wait`` will notice
            self.connection.send(thing)

    @property
    def crashed(self) -> bool:
        return -self.process.returncode in CRASHES

    def end(self, grace: float = 0.0) -> str:
        """Kill the worker unless it exits within ``grace`` seconds. Returns how it ended."""
        try:
            code = self.process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.connection.close()
        os.close(self._life)
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
