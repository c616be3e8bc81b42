"""An engine of another package: whole shards in a pool of processes of Python's own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from distort.engines.base import Died, Engine, Function, Outcome, Unit, attempt


def ignore(done: int, bad: int) -> None:
    """Nobody watches the progress within a shard."""


class Pool(Engine):
    def __init__(self, function: Function, workers: int | None = None, address: str | None = None):
        super().__init__(function, workers, address)
        self.flying: dict[Future, Unit] = {}
        self.pool = self._fresh()

    def _fresh(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.workers or 2, mp_context=multiprocessing.get_context("spawn"))

    def room(self) -> int:
        return (self.workers or 2) - len(self.flying)

    def start(self, unit: Unit) -> None:
        self.flying[self.pool.submit(attempt, self.function, unit, ignore)] = unit

    def wait(self) -> Iterator[tuple[Unit, Outcome]]:
        done, _ = wait(self.flying, return_when=FIRST_COMPLETED)
        broken = False
        for future in done:
            unit = self.flying.pop(future)
            try:
                yield unit, future.result()
            except BrokenProcessPool as error:
                broken = True
                yield unit, Died(str(error))
        if broken:
            self.pool = self._fresh()

    def close(self) -> None:
        for process in list((self.pool._processes or {}).values()):
            process.kill()
        self.pool.shutdown(cancel_futures=True)
