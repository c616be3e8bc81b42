"""Decodes untrusted pictures in a child process, because a picture can crash its decoder or exhaust memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")


def each(function: Callable[[T], str | None], items: Sequence[T]) -> Iterator[str | None]:
    """Call ``function(item)`` in a child process and yield the results in order.

    For an item that kills the child, yields how it died. The child is forked, to start within milliseconds;
    therefore ``function`` must not use fsspec, locks or threads.
    """
    context = multiprocessing.get_context("fork")
    done = 0
    while done < len(items):
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_work, args=(theirs, function, items[done:]), daemon=True)
        child.start()
        theirs.close()  # so that the pipe ends when the child dies
        try:
            for _ in items[done:]:
                result = mine.recv()
                done += 1
                yield result
        except EOFError:
            child.join()
            done += 1
            code = child.exitcode or 0
            yield f"its decoder died ({signal.Signals(-code).name if code < 0 else f'exit status {code}'})"
        finally:
            child.kill()
            child.join()
            mine.close()


def _work(connection: Connection, function: Callable, items: Sequence) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it and kills this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        for item in items:
            connection.send(function(item))
    except BrokenPipeError:  # the parent is gone
        os._exit(1)
