"""Signals that ask a run to write a checkpoint and stop, and SIGTERM when the launcher dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: Exit status of a pre-empted run. SIGTERM: as a shell reports it. SIGUSR1 is the advance warning of a scheduler
#: that will requeue the job (sbatch --signal=USR1@120): status 0, but no ``finished`` file in the run folder.
EXIT = {signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGUSR1: 0}
PR_SET_PDEATHSIG = 1  #: of prctl(2)


class Stopped(Exception):
    """The run stopped on a signal: in an epoch after writing its checkpoint, otherwise at once."""

    def __init__(self, signum: int, where: str, together: bool = True):
        """``together``: all ranks stop at the same point."""
        name = signal.Signals(signum).name
        super().__init__(f"stopped by {name} {where}; repeat the command with --resume to continue")
        self.exit_status = EXIT[signal.Signals(signum)]
        self.together = together


class Note:
    signum = 0  #: of the signal that arrived; 0 for none


@contextmanager
def noted() -> Iterator[Note]:
    """In this block SIGTERM and SIGUSR1 only set a flag; the loop acts on it."""
    note = Note()

    def take(signum: int, frame: object) -> None:
        note.signum = note.signum or signum

    with _handled(take, *EXIT):
        yield note


@contextmanager
def heeded() -> Iterator[None]:
    """In this block SIGUSR1 raises Stopped, since there is nothing to save. SIGTERM ends the process as always.

    Python's handlers have to wait for the call they interrupt, which may itself be waiting for lost ranks.
    """

    def stop(signum: int, frame: object) -> NoReturn:
        raise Stopped(signum, "before or after the epochs", together=False)

    with _handled(stop, signal.SIGUSR1):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object], *numbers: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def follow_launcher() -> None:
    """Under torchrun on Linux: get SIGTERM when torchrun dies, even by SIGKILL.

    Without it this rank would wait for its peers forever.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
