"""Shared logic of all engines: retries, refusals and dead workers. An engine only starts, awaits and stops units.

Engines run **units** of work and know nothing about pixels. ``distort.units`` makes the units, decides their order
and handles the results. A new engine is a subclass of ``Engine`` and one line in
``distort.engines.ENGINES`` or, in another package, in the entry-point group ``codecproof.engines``.
"""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

DEATHS = 2  #: a unit that kills its worker this often has failed
LOSSES = 10  #: a unit that loses its machine this often has failed

#: Workers are single-threaded; parallelism comes from having several.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPJ_NUM_THREADS")


class Unit:
    """A piece of work for one worker: picklable, compared by identity. Subclasses define the work."""

    shard: int


ReportProgress = Callable[[int, int], None]  #: pictures done, pictures among them that were bad
Function = Callable[[Unit, ReportProgress], Any]  #: picklable; what a worker calls for every unit


class UnfitNode(OSError):
    """Raised by the function where this machine would write different bytes, or cannot run the codecs."""


# Events about a shard that ``run`` yields.


@dataclass(frozen=True)
class Progressed:
    """``done`` pictures of the shard are done; ``bad`` of them are bad."""

    shard: int
    done: int
    bad: int


@dataclass(frozen=True)
class Done:
    shard: int


@dataclass(frozen=True)
class Failed:
    shard: int
    reason: str
    storage: bool = False  #: an OSError: other shards would fail too


@dataclass(frozen=True)
class Refused:
    """A machine is unfit; its work goes to another one."""

    shard: int
    reason: str


Event = Progressed | Done | Failed | Refused


# Outcomes of a unit that an engine reports.


@dataclass(frozen=True)
class Returned:
    value: Any


@dataclass(frozen=True)
class Raised:
    reason: str
    storage: bool = False


@dataclass(frozen=True)
class Unfit:
    reason: str
    node: str = ""  #: the engine's name for the machine


@dataclass(frozen=True)
class Died:
    """The unit's worker was killed or crashed, perhaps because of the unit."""

    how: str
    crashed: bool = False  #: by a fault in its own code, such as a segmentation fault


@dataclass(frozen=True)
class Lost:
    """The machine is gone, or the worker did not start: not the unit's fault."""

    how: str


Outcome = Returned | Raised | Unfit | Died | Lost


def attempt(function: Function, unit: Unit, report: ReportProgress) -> Returned | Raised | Unfit:
    """Call ``function`` and return how it ended."""
    try:
        return Returned(function(unit, report))
    except UnfitNode as error:
        return Unfit(str(error))
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError | OSError) else traceback.format_exc()
        return Raised(reason, isinstance(error, OSError))


class Engine(ABC):
    """A place to run units. ``address`` locates the cluster, for engines that have one."""

    splits: ClassVar[bool] = False  #: workers share this machine's disk, so several can work on one shard
    addressed: ClassVar[bool] = False  #: takes an address

    def __init__(self, function: Function, workers: int | None = None, address: str | None = None):
        self.function, self.workers, self.address = function, workers, address

    @classmethod
    def check(cls, address: str | None) -> None:
        """Raise OSError when the engine cannot work here; called before anything is written."""
        return

    @abstractmethod
    def room(self) -> int:
        """How many more units may be started now."""

    def expect(self, count: int) -> None:
        """Announce that at least ``count`` units will follow, so that slow workers can be started early."""
        return

    @abstractmethod
    def start(self, unit: Unit) -> None:
        """Have a worker call ``attempt(function, unit, report)``."""

    @abstractmethod
    def wait(self) -> Iterable[tuple[Unit, Outcome]]:
        """Wait a while for units to end and return their outcomes. Every started unit ends exactly once."""

    @abstractmethod
    def close(self) -> None:
        """Stop all work. Commits are atomic, so only unfinished shards are lost."""

    def avoid(self, node: str) -> bool:
        """Give no more units to ``node``; False when there is no other."""
        return False


class Work(Protocol):
    """Units to be done, in order."""

    size: int  #: lower bound of the number of units

    def next(self) -> Unit | None:
        """The next unit to start; None when there is none until another unit ends."""

    def again(self, unit: Unit) -> None:
        """Schedule ``unit`` again: it was lost through no fault of its own, or may be retried."""

    def ended(self, unit: Unit, value: Any) -> Iterable[Event]: ...

    def failed(self, unit: Unit, reason: str, storage: bool = False) -> Iterable[Event]: ...

    def fatal(self, unit: Unit, died: Died) -> Iterable[Event]:
        """``unit`` has killed its worker ``DEATHS`` times."""

    def close(self) -> None: ...


def run(engine: Engine, work: Work) -> Generator[Event]:
    """Do all the work and yield events as they happen. Every shard ends in exactly one Done or Failed.

    Closing the iterator stops all work.
    """
    deaths: Counter[Unit] = Counter()
    losses: Counter[Unit] = Counter()
    flying = 0
    try:
        engine.expect(work.size)
        while True:
            while engine.room() > 0 and (unit := work.next()) is not None:
                engine.start(unit)
                flying += 1
            if not flying:
                return
            for unit, outcome in engine.wait():
                flying -= 1
                match outcome:
                    case Returned(value):
                        yield from work.ended(unit, value)
                    case Raised(reason, storage):
                        yield from work.failed(unit, reason, storage)
                    case Unfit(reason, node):
                        if engine.avoid(node):
                            work.again(unit)
                            yield Refused(unit.shard, reason)
                        else:
                            yield from work.failed(unit, reason, storage=True)
                    case Died():
                        deaths[unit] += 1
                        if deaths[unit] >= DEATHS:
                            yield from work.fatal(unit, outcome)
                        else:
                            work.again(unit)
                    case Lost(how):
                        losses[unit] += 1
                        if losses[unit] >= LOSSES:
                            yield from work.failed(unit, f"its worker was lost {LOSSES} times: {how}")
                        else:
                            work.again(unit)
    finally:
        engine.close()
        work.close()
