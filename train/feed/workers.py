"""Worker processes that read and decode one rank's batches. They end with the block that uses them."""

from __future__ import annotations

import functools
import gc
import mmap
import multiprocessing
import signal
import time
import traceback
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import numpy as np
import torch

from shards.errors import DatasetError
from train.feed.data import Batch, Reader, Room, Stream

PATIENCE = 2.0  #: seconds that workers get to exit before they are killed
#: A forked worker starts in milliseconds, where importing PyTorch anew would take seconds in every epoch, and
#: shares the memory that batches are decoded into.
CONTEXT = multiprocessing.get_context("fork")
#: The main process decides when to stop: a signal to the whole group must not kill the workers it waits for.
NOT_THEIRS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
#: Shared memory of feeds that have ended, for the next ones: the first touch of a page costs more than half of
#: decoding into it.
_SPARE: list[np.ndarray] = []


class Failure(NamedTuple):
    """The error that ended a worker, sent to the main process."""

    message: str
    expected: bool = True  #: False: a bug, and the message is its traceback


class Worker(NamedTuple):
    process: BaseProcess
    connection: Connection  #: receives batches, and answers each to request another
    rooms: list[Room]  #: where their pictures are, in turn

    def receive(self) -> Batch | None:
        """The next batch; None at the end. Raises DatasetError or OSError with the reason why there is none."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            raise OSError(self._cause_of_death()) from None
        with suppress(OSError):  # it may have finished or died: the next message shows which
            self.connection.send_bytes(b"")
        if isinstance(message, Failure):
            raise DatasetError(message.message) if message.expected else RuntimeError(message.message)
        if message is None:
            return None
        number, batch = message
        rooms = self.rooms[number].items()
        images = {name: torch.from_numpy(array[: len(batch.keys)]) for name, array in rooms}
        return batch.apply(torch.from_numpy)._replace(images=images)

    def _cause_of_death(self) -> str:
        self.process.join(PATIENCE)
        status = self.process.exitcode
        if status == -signal.SIGKILL:
            return "a data worker was killed (SIGKILL): out of memory? Lower --workers, --batch or --shuffle"
        said = f"signal {signal.Signals(-status).name}" if status and status < 0 else f"exit status {status}"
        return f"a data worker died ({said})"


@contextmanager
def batches(
    stream: Stream, workers: int = 0, *, pin: bool = False, prefetch: int = 2
) -> Iterator[Iterator[Batch]]:
    """The batches of a stream, in the same order every time: ``with batches(…) as feed: for batch in feed``.

    ``workers`` processes read them, ``prefetch`` batches ahead each, and all of them end when the
    block ends, also by an error. With 0 the main process reads. ``pin``: into page-locked memory. Use a batch
    before taking the next, and before the block ends: its memory is reused, also by the next feed.

    Raises DatasetError for what is wrong with the data, and OSError when a worker died.
    """
    workers = min(workers, len(stream.batches))
    if not workers:
        yield _here(stream)
        return
    pool = (
        ThreadPoolExecutor(1, initializer=torch.cuda.set_device, initargs=(torch.cuda.current_device(),))
        if pin
        else None
    )
    started: list[Worker] = []
    taken: list[np.ndarray] = []
    try:
        # One batch is in use, some are waiting, and the next one is being made.
        reader, place = Reader(stream.source), stream.batches[0][0]
        allocate = functools.partial(_shared, taken)
        rooms = [
            [reader.memory(place, stream.largest, allocate) for _ in range(prefetch + 2)] for _ in range(workers)
        ]
        for number in range(workers):
            started.append(_start(stream, number, prefetch, rooms, started))
        feed = _in_turn(started)
        yield _pinned(feed, pool) if pool else feed
    finally:
        _end(started, pool)
        _SPARE[:0] = taken  # no worker writes to it any more; in front, so that it is the next to be taken


def _shared(taken: list[np.ndarray], size: int) -> np.ndarray:
    """At least ``size`` bytes that workers forked later share with this process; noted in ``taken``.

    It is anonymous memory, so /dev/shm cannot fill up.
    """
    _SPARE.sort(key=len)
    at = next((i for i, memory in enumerate(_SPARE) if len(memory) >= size), None)
    if at is None:
        del _SPARE[-1:]  # even the largest is too small: the new one replaces it
    memory = np.frombuffer(mmap.mmap(-1, size), np.uint8) if at is None else _SPARE.pop(at)
    taken.append(memory)
    return memory


def _here(stream: Stream) -> Iterator[Batch]:
    room = None
    for reader, samples in stream.part():
        room = room or reader.memory(samples[0].place, stream.largest)
        yield reader.batch(samples, room)


def _start(stream: Stream, number: int, prefetch: int, rooms: list[list[Room]], earlier: list[Worker]) -> Worker:
    ours, theirs = CONTEXT.Pipe()
    try:
        inherited = [ours, *(worker.connection for worker in earlier)]
        arguments = (stream, number, len(rooms), prefetch, rooms[number], theirs, inherited)
        process = CONTEXT.Process(target=_serve, args=arguments, daemon=True)
        signal.pthread_sigmask(signal.SIG_BLOCK, NOT_THEIRS)  # until the worker ignores them
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_THEIRS)
        theirs.close()  # so that the connection closes when the worker dies
    return Worker(process, ours, rooms[number])


def _end(workers: list[Worker], pool: ThreadPoolExecutor | None) -> None:
    if pool:  # its thread may still wait for a worker that no longer exists
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


def _in_turn(workers: list[Worker]) -> Iterator[Batch]:
    """One batch from each worker in turn."""
    waiting = deque(workers)
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
    stream: Stream, number: int, workers: int, prefetch: int, rooms: list[Room], connection: Connection,
    inherited: list[Connection],
) -> None:  # fmt: skip
    """Main function of a worker. It ends when the main process closes the connection or dies."""
    for signum in NOT_THEIRS:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_THEIRS)
    for other in inherited:  # a copy that stays open would hide the main process's death
        other.close()
    torch.set_num_threads(1)
    gc.freeze()  # spare the garbage collector the objects of PyTorch's import
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        for made, message in enumerate(_messages(stream, number, workers, rooms)):
            if made >= prefetch:
                connection.recv_bytes()
            connection.send(message)


def _messages(stream: Stream, number: int, workers: int, rooms: list[Room]) -> Iterator[tuple | Failure | None]:
    """Yield (index of the room with the pictures, the batch with arrays for tensors); then None, or a Failure."""
    try:
        for made, (reader, samples) in enumerate(stream.part(number, workers)):
            room = made % len(rooms)
            batch = reader.batch(samples, rooms[room])
            yield room, batch._replace(images={}).apply(torch.Tensor.numpy)  # type: ignore[arg-type]
        yield None
    except (DatasetError, OSError) as error:
        yield Failure(str(error))
    except Exception:
        yield Failure(traceback.format_exc(), expected=False)
