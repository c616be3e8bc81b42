"""Engines decide where shards are made. They schedule, and know no pixels.

An engine is a function ``map_unordered(function, shards, …)`` that calls ``function(shard, report)`` for every
shard, somewhere, and yields what happens as it happens. Every shard ends in exactly one Done or Failed.
``function`` must be picklable. Leaving the iterator ends all work: shards are committed whole or not at all,
so that loses only unfinished ones.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass

Report = Callable[[int, int], None]  #: pictures done, pictures among them that were bad
Function = Callable[[int, Report], None]

#: Workers are single-threaded; parallelism comes from having several.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPJ_NUM_THREADS")


@dataclass(frozen=True)
class Progress:
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
    storage: bool = False  #: an OSError: other shards would fail alike


@dataclass(frozen=True)
class Refused:
    """A machine found itself unfit; the shard goes to another one."""

    shard: int
    reason: str


class UnfitNode(OSError):
    """Raised by ``function`` on a machine that would make other bytes than another one, or none at all."""


def attempt(function: Function, shard: int, report: Report) -> Done | Failed | Refused:
    """Call ``function`` and say how it ended."""
    try:
        function(shard, report)
    except UnfitNode as error:
        return Refused(shard, str(error))
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError | OSError) else traceback.format_exc()
        return Failed(shard, reason, isinstance(error, OSError))
    return Done(shard)
