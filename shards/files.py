"""Byte ranges of a dataset's files. No other module cuts bitstreams out of tars.

Local and remote datasets are read the same way and raise the same errors.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from shards.errors import DatasetError
from shards.storage import Storage

OPEN_FILES = 16  #: files that one reader keeps open
NEAR = 2**18  #: behind a url, two ranges with a gap of at most this many bytes are one request
GAP = 2**13  #: on a disk, ranges with gaps of this many bytes on average are announced to the kernel together
FADVISE = getattr(os, "posix_fadvise", None)  #: absent on macOS


class Stored(NamedTuple):
    """A finished file of a dataset, as recorded when it was written."""

    name: str  #: relative to the dataset
    size: int  #: bytes
    sha256: str  #: hex
    record: str = "its Parquet file"  #: where size and sha256 are recorded
    again: str = "run distort again"  #: how to make the file again


def again(column: str) -> str:
    """How to make a damaged tar of ``column`` again. Only 'distort run' makes clean crops."""
    return "run 'distort run' again, which makes it from the source" if column == "clean" else "run distort again"


class Files:
    """Byte ranges of a dataset's files: local ones directly, remote ones by range requests or from a local copy.

    A copy in ``cache`` is named by its sha256, which is checked when the copy is made. Cached files are never
    removed. Thread-safe.
    """

    def __init__(self, storage: Storage, cache: str | os.PathLike | None = None):
        self.storage = storage
        self.cache = None if storage.local or cache is None else Path(cache)
        self._open: OrderedDict[str, int] = OrderedDict()
        self._sizes: dict[str, dict[str, int | None]] = {}
        self._checked: set[str] = set()
        self._lock = Lock()

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_open": OrderedDict(), "_lock": None}  # each process opens its own

    def __setstate__(self, state: dict) -> None:
        self.__dict__ = state | {"_lock": Lock()}

    def __del__(self) -> None:
        self.close()

    def read(self, file: Stored, start: int, stop: int, check: bool = False) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive). Raises DatasetError when the file is missing or was replaced.

        The size is compared with the recorded one. ``check`` also compares the sha256, once per reader.
        """
        if check and file.name not in self._checked:
            if hashlib.sha256(self._bytes(file, 0, file.size)).hexdigest() != file.sha256:
                raise DatasetError(
                    f"{self._where(file)}: its sha256 differs from the one in {file.record}: damaged or replaced; "
                    f"delete it and {file.again}"
                )
            self._checked.add(file.name)
        return self._bytes(file, start, stop)

    def _bytes(self, file: Stored, start: int, stop: int) -> bytes:
        return self.ranges(file, [start], [stop])[0]

    def ranges(self, file: Stored, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        """Several byte ranges of a file, in ascending order. Raises DatasetError like ``read``.

        On a disk exactly these bytes are read. Behind a url, ranges with small gaps share a request.
        """
        if not starts:  # a mixture that drew no row of this column, say
            return []
        try:
            if self.storage.local or self.cache:
                found = self._from_disk(file, starts, stops)
            else:
                found = self._by_requests(file, starts, stops)
        except FileNotFoundError:
            raise DatasetError(f"{self._where(file)} is missing; {file.again}") from None
        if sum(map(len, found)) != sum(stops) - sum(starts):
            raise DatasetError(
                f"{self._where(file)} ends before byte {max(stops)}: truncated or replaced; "
                f"delete it and {file.again}"
            )
        return found

    def _from_disk(self, file: Stored, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        with self._lock:  # or another thread could close the descriptor
            descriptor = self._descriptor(file)
            span, payload = stops[-1] - starts[0], sum(stops) - sum(starts)
            if FADVISE and len(starts) > 1 and 0 <= span - payload <= GAP * len(starts):
                FADVISE(descriptor, starts[0], span, os.POSIX_FADV_WILLNEED)
            return [os.pread(descriptor, stop - start, start) for start, stop in zip(starts, stops, strict=True)]

    def _by_requests(self, file: Stored, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        self._require_size(file, self._remote_size(file.name))
        found: list[bytes] = []
        while len(found) < len(starts):
            first = last = len(found)
            while last + 1 < len(starts) and 0 <= starts[last + 1] - stops[last] <= NEAR:
                last += 1
            data = self.storage.read(file.name, starts[first], stops[last])
            found += cut(data, starts[first : last + 1], stops[first : last + 1], starts[first])
        return found

    def _where(self, file: Stored) -> str:
        return f"{self.storage.url}/{file.name}"

    def _require_size(self, file: Stored, there: int) -> None:
        if there != file.size:
            raise DatasetError(
                f"{self._where(file)} has {there} bytes, but {file.record} says {file.size}: truncated or "
                f"replaced; delete it and {file.again}"
            )

    def _remote_size(self, name: str) -> int:
        """From one listing of the file's folder. Raises FileNotFoundError."""
        folder, _, file = name.rpartition("/")
        if folder not in self._sizes:
            self._sizes[folder] = self.storage.listing(folder)
        size = self._sizes[folder].get(file)
        if size is None:
            raise FileNotFoundError(name)
        return size

    def _descriptor(self, file: Stored) -> int:
        if file.name in self._open:
            self._open.move_to_end(file.name)
            return self._open[file.name]
        path = self._copy(file, self.cache) if self.cache else self.storage.path(file.name)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not make us wait
        try:
            there = os.fstat(descriptor)
            if not stat.S_ISREG(there.st_mode):
                raise DatasetError(f"{self._where(file)} is not a regular file; delete it and {file.again}")
            self._require_size(file, there.st_size)
        except DatasetError:
            os.close(descriptor)
            raise
        self._open[file.name] = descriptor
        if len(self._open) > OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _copy(self, file: Stored, cache: Path) -> Path:
        target = cache / f"{file.sha256}{Path(file.name).suffix}"
        if not target.exists():
            data = self.storage.read(file.name)
            self._require_size(file, len(data))
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise DatasetError(
                    f"{self._where(file)}: its sha256 differs from the one in {file.record}: damaged; "
                    f"delete it and {file.again}"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.{os.getpid()}")
            partial.write_bytes(data)
            os.replace(partial, target)
        return target

    def close(self) -> None:
        """Close all open files; the next read opens them again."""
        while self._open:
            os.close(self._open.popitem()[1])


def cut(data: bytes, offsets: Iterable[int], ends: Iterable[int], start: int = 0) -> list[bytes]:
    """Cut bitstreams out of ``data``, the tar's bytes from ``start`` on, by their offsets and ends in the tar."""
    return [data[a - start : b - start] for a, b in zip(offsets, ends, strict=True)]
