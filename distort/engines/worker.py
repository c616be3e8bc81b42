"""The main loop of a worker process of the local engine."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing.connection import Connection

from distort.engines.base import attempt
from shards.console import leave_pandas_out


def work(pipe: int, life: int) -> None:
    """Run the units that arrive through ``pipe`` until it closes; exit at once when ``life`` closes.

    Both are file descriptors.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    threading.Thread(target=_end_with_parent, args=(life,), daemon=True).start()
    leave_pandas_out()
    connection = Connection(pipe)
    try:
        function = connection.recv()
        connection.send(None)  # started
        while True:
            connection.send(attempt(function, connection.recv(), lambda done, bad: None))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass


def _end_with_parent(life: int) -> None:
    os.read(life, 1)
    os._exit(1)
