"""Worker processes that read and decode one rank's batches, and how they end: with the block that uses them."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import NamedTuple

import torch

from shards.errors import DatasetError
from train.feed.data import Batch, Stream

PATIENCE = 2.0  #: seconds that workers have to end by themselves before they are killed
#: fork: a worker starts in milliseconds; importing PyTorch anew would take seconds in every epoch.
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
SHARED_MEMORY_FULL = (
    "shared memory (/dev/shm) is full: data workers pass their batches through it. Free it, lower --workers or "
    "--batch, or start the container with a larger --shm-size"
)


class Failure(NamedTuple):
    """What ended a worker, on its way to the main process."""

    message: str
    expected: bool = True  #: False: a bug, and the message is its traceback


class Worker(NamedTuple):
    process: BaseProcess
    connection: Connection  #: batches come in; an empty message goes out for each, that one more may be made

    def receive(self) -> Batch | None:
        """The next batch; None at the end. Raises DatasetError or OSError with the reason why there is none."""
        try:
            message = self.connection.recv()
            if message is not None:
                self.connection.send_bytes(b"")
        except (EOFError, OSError):
            raise OSError(self._cause_of_death()) from None
        if not isinstance(message, Failure):
            return message
        raise DatasetError(message.message) if message.expected else RuntimeError(message.message)

    def _cause_of_death(self) -> str:
        self.process.join(PATIENCE)
        status = self.process.exitcode
        if status == -signal.SIGBUS:
            return SHARED_MEMORY_FULL
        if status == -signal.SIGKILL:
            return "a data worker was killed (SIGKILL): out of memory? Lower --workers, --batch or --shuffle"
        said = f"signal {signal.Signals(-status).name}" if status and status < 0 else f"exit status {status}"
        return f"a data worker died ({said})"


@contextmanager
def batches(stream: Stream, *, processes: bool, pin: bool = False, prefetch: int = 3) -> Iterator[Iterator[Batch]]:
    """The batches of a stream, in the same order every time: ``with batches(…) as feed: for batch in feed``.

    One worker process reads each of the stream's slices, ``prefetch`` batches ahead, and all of them are gone when
    the block is left, in whatever way; without ``processes`` this process reads. ``pin``: into page-locked memory.

    Raises DatasetError for what is wrong with the data, and OSError when a worker died.
    """
    if not processes:
        if len(stream.slices) != 1:
            raise ValueError("without worker processes there is one slice")
        yield stream.part(0)
        return
    workers: list[Worker] = []
    pool = (
        ThreadPoolExecutor(1, initializer=torch.cuda.set_device, initargs=(torch.cuda.current_device(),))
        if pin
        else None
    )
    try:
        for number in range(len(stream.slices)):
            workers.append(_start(stream, number, prefetch, workers))
        feed = _in_turn(workers, stream.skip)
        yield _pinned(feed, pool) if pool else feed
    finally:
        _end(workers, pool)


def _start(stream: Stream, number: int, prefetch: int, earlier: list[Worker]) -> Worker:
    ours, theirs = CONTEXT.Pipe()
    try:
        inherited = (
            [ours, *(worker.connection for worker in earlier)] if CONTEXT.get_start_method() == "fork" else []
        )
        process = CONTEXT.Process(target=_serve, args=(stream, number, prefetch, theirs, inherited), daemon=True)
        process.start()
    finally:
        theirs.close()  # so that the worker's death is the end of the connection
    return Worker(process, ours)


def _end(workers: list[Worker], pool: ThreadPoolExecutor | None) -> None:
    if pool:  # its thread may be waiting for a worker: there is nothing to wait for any more
        for worker in workers:
            worker.process.kill()
        pool.shutdown()
    for worker in workers:
        worker.connection.close()
    until = time.monotonic() + PATIENCE
    for worker in workers:
        worker.process.join(max(until - time.monotonic(), 0))
        worker.process.kill()
        worker.process.join()


def _in_turn(workers: list[Worker], skip: int) -> Iterator[Batch]:
    """One batch from each worker in turn, beginning with the one whose turn it is after ``skip`` batches."""
    waiting = deque(workers)
    waiting.rotate(-skip)
    while waiting:
        worker = waiting.popleft()
        batch = worker.receive()
        if batch is not None:
            waiting.append(worker)
            yield batch


def _pinned(feed: Iterator[Batch], pool: ThreadPoolExecutor) -> Iterator[Batch]:
    """Copy into page-locked memory in another thread, two batches ahead."""

    def take() -> Batch | None:
        batch = next(feed, None)
        return batch and batch.apply(torch.Tensor.pin_memory)

    ahead: deque[Future[Batch | None]] = deque(pool.submit(take) for _ in range(2))
    while (batch := ahead.popleft().result()) is not None:
        ahead.append(pool.submit(take))
        yield batch


def _serve(
    stream: Stream, number: int, prefetch: int, connection: Connection, inherited: list[Connection]
) -> None:
    """The life of a worker. It ends when the main process has closed its end of the connection, or died."""
    # The main process decides when to stop: a signal to the whole group must not kill what it is waiting for.
    for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    for other in inherited:  # a copy that stays open would hide the main process's death
        other.close()
    torch.set_num_threads(1)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        for made, message in enumerate(_messages(stream, number)):
            if made >= prefetch:
                connection.recv_bytes()
            connection.send_bytes(message)
        while True:  # the last batches' memory is handed over by this process: not to end before they are fetched
            connection.recv_bytes()


def _messages(stream: Stream, number: int) -> Iterator[bytes]:
    """Batches ready to be sent, then None; or a Failure. Pickled here, where an error can still be reported."""
    try:
        for batch in stream.part(number, shared=True):
            yield ForkingPickler.dumps(batch)
        yield ForkingPickler.dumps(None)
    except (DatasetError, OSError) as error:
        yield ForkingPickler.dumps(Failure(str(error)))
    except Exception as error:
        full = isinstance(error, RuntimeError) and "/torch_" in str(error)
        failure = Failure(SHARED_MEMORY_FULL) if full else Failure(traceback.format_exc(), expected=False)
        yield ForkingPickler.dumps(failure)
