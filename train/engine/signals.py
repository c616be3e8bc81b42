"""Signals that ask a run to write a checkpoint and stop, and SIGTERM when the launcher dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Exit status of a pre-empted run. SIGTERM: as a shell reports it. SIGUSR1 is the advance warning of a scheduler
#: that will requeue the job (sbatch --signal=USR1@120): status 0, but no ``finished`` file in the run folder.
EXIT = {signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGUSR1: 0}
PR_SET_PDEATHSIG = 1  #: of prctl(2)


class Stopped(Exception):
    """The run stopped on a signal, after writing its checkpoint."""

    def __init__(self, signum: int, where: str):
        name = signal.Signals(signum).name
        super().__init__(f"stopped by {name} {where}; repeat the command with --resume to continue")
        self.exit_status = EXIT[signal.Signals(signum)]


class Note:
    signum = 0  #: of the signal that arrived; 0 for none


@contextmanager
def noted() -> Iterator[Note]:
    """In this block SIGTERM and SIGUSR1 only set a flag; the loop acts on it."""
    note = Note()

    def take(signum: int, frame: object) -> None:
        note.signum = note.signum or signum

    before = {number: signal.signal(number, take) for number in EXIT}
    try:
        yield note
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow_launcher() -> None:
    """Under torchrun on Linux: get SIGTERM when torchrun dies, even by SIGKILL.

    Without it this rank would wait for its peers forever.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
