"""Files of a dataset, on a local disk or at any fsspec url, published atomically."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import fsspec
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from shards.errors import DatasetError, StorageError
from shards.remote import plain_errors, upload_options, when
from shards.scratch import FORGOTTEN, NAME, scratch_folder, sweep

PARTIAL = ".partial"  #: inside the dataset: unfinished files, and markers of the shards being made
BLOCK = 2**20  #: bytes read ahead from remote files


class Marker(NamedTuple):
    """A worker (HOST-PID-HEX) is making a shard; ``seen`` is when it last refreshed the marker (Unix time)."""

    shard: int
    who: str
    seen: float


class Storage:
    """The folder or object-store prefix of one dataset. Names are relative to it, with forward slashes.

    Errors of remote storage are raised as StorageError; FileNotFoundError means that a single file is missing.
    """

    def __init__(self, url: str | os.PathLike):
        url = os.fspath(url)
        if not url.strip():
            raise DatasetError("the name of the dataset is empty: give a folder or a url")
        if url.startswith("pipe:"):
            raise DatasetError(f"{url}: shell commands are not supported; give a folder or an fsspec url")
        try:
            # No cached listings, because other processes write at the same time.
            self.fs, self.root = fsspec.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:  # a missing package, an unknown protocol
            hint = " (pip install 'codecproof[s3]')" if url.startswith("s3:") else ""
            raise DatasetError(f"{url}: {error}{hint}") from None
        #: Parquet footers of files that never change, by name (500 bytes a shard), so that each is read once.
        self.footers: dict[str, pq.FileMetaData] = {}
        self.url = url
        self.local = isinstance(self.fs, LocalFileSystem)
        #: The same, valid in a process with another working directory.
        self.absolute = self.root if self.local else url

    def path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def require_folders(self) -> None:
        """Raise DatasetError when a file is where this folder, or one above it, would be."""
        for place in (Path(self.root), *Path(self.root).parents) if self.local else ():
            if os.path.isfile(place):
                what = self.url if place == Path(self.root) else place
                raise DatasetError(f"{what} is a file, not a folder; choose another name")

    def _reach(self) -> AbstractContextManager[None]:
        return nullcontext() if self.local else plain_errors(self.url)

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> bytes:
        """A whole file, or its bytes ``start`` to ``stop`` (exclusive) in one request."""
        if self.local and start is stop is None:
            with open_regular(self.path(name)) as file:
                return file.read()
        with self._reach():
            return self.fs.cat_file(self.path(name), start=start, end=stop)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for random access."""
        if self.local:
            with open_regular(self.path(name)) as stream:
                yield stream
            return
        with self._reach(), self.fs.open(self.path(name), "rb", block_size=BLOCK) as stream:
            yield stream

    def exists(self, name: str) -> bool:
        with self._reach():
            return self.fs.exists(self.path(name))

    def listing(self, folder: str = "") -> dict[str, int | None]:
        """Names in a folder and their sizes in bytes (None for sub-folders). Empty if the folder is missing."""
        return {name: size for name, (size, _) in self._entries(folder).items()}

    def times(self, folder: str) -> dict[str, float]:
        """Names in a folder and when they were published, by the storage's clock (seconds since 1970)."""
        return {name: time for name, (size, time) in self._entries(folder).items() if size is not None}

    def _entries(self, folder: str) -> dict[str, tuple[int | None, float]]:
        with suppress(FileNotFoundError, NotADirectoryError), self._reach():
            if self.local:
                with os.scandir(self.path(folder)) as entries:
                    return dict(filter(None, map(_entry, entries)))
            found = self.fs.ls(self.path(folder), detail=True)
            return {
                Path(info["name"]).name: (None if info["type"] == "directory" else info["size"], when(info))
                for info in found
                if info["name"].rstrip("/") != self.path(folder)  # some stores list the folder itself
            }
        return {}

    @contextmanager
    def scratch(self, shard: int | None = None) -> Iterator[Path]:
        """A local scratch folder for files to be published; removed at the end with all its contents.

        Its name identifies the worker. With ``shard``, a marker names the shard; see ``announce``.
        """
        with scratch_folder(self._unfinished, private=not self.local) as folder:
            try:
                if shard is not None:
                    self.announce(folder, shard)
                yield folder
            finally:
                if shard is not None and not self.local:
                    with suppress(OSError), self._reach():
                        self.fs.rm_file(self.path(f"{PARTIAL}/{folder.name}/{shard:06d}"))

    @property
    def _unfinished(self) -> Path:
        """The parent of scratch folders; for a local dataset on the same disk, so that publishing is a rename."""
        if self.local:
            return Path(self.root, PARTIAL)
        return Path(tempfile.gettempdir(), f"codecproof-{os.getuid()}")

    def announce(self, scratch: Path, shard: int) -> None:
        """Write or refresh the marker that a worker is making ``shard``."""
        if self.local:
            (scratch / f"{shard:06d}").touch()
        else:
            with self._reach():
                self.fs.pipe_file(self.path(f"{PARTIAL}/{scratch.name}/{shard:06d}"), b"")

    def markers(self) -> list[Marker]:
        """The markers of all shards being made."""
        return [
            Marker(int(name), who, seen)
            for who in self.listing(PARTIAL)
            if NAME.fullmatch(who)
            for name, seen in self.times(f"{PARTIAL}/{who}").items()
            if name.isdecimal()
        ]

    def publish(self, file: Path, name: str) -> None:
        """Move a finished local file to ``name``, atomically and durably."""
        if not self.local:
            # Never fs.open(…, "wb"): an exception in its block would publish a partial file.
            with self._reach():
                self.fs.put_file(str(file), self.path(name), **upload_options(self.fs, file))
            file.unlink()
            return
        target = self._target(name)
        flush(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
        flush(target.parent)

    def _target(self, name: str) -> Path:
        """The local file to write or remove. Raises StorageError if a folder below the root is a symbolic link."""
        for folder in PurePosixPath(name).parents:
            if folder.name and (path := Path(self.path(str(folder)))).is_symlink():
                raise StorageError(f"{path} is a symbolic link: a dataset's folders must be real folders")
        return Path(self.path(name))

    def write(self, name: str, data: bytes) -> None:
        """Publish ``data`` as ``name``."""
        with self.scratch() as folder:
            file = folder / "file"
            file.write_bytes(data)
            self.publish(file, name)

    def create(self, name: str, data: bytes) -> None:
        """Publish ``data`` as ``name`` unless it exists. Of several concurrent callers, one succeeds.

        The others get FileExistsError. (If the store has no conditional writes, two may succeed.)
        """
        if self.exists(name):
            raise FileExistsError(self.path(name))
        if not self.local:
            try:
                with self._reach():
                    self.fs.pipe_file(self.path(name), data, mode="create")
            except OSError:
                if self.exists(name):
                    raise FileExistsError(self.path(name)) from None
                raise
            return
        with self.scratch() as folder:
            file = folder / "file"
            file.write_bytes(data)
            flush(file)
            target = self._target(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, target)
            flush(target.parent)

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with suppress(FileNotFoundError), self._reach():
            if self.local:
                self._target(name).unlink()
            else:
                self.fs.rm_file(self.path(name))

    def sweep(self) -> None:
        """Delete unfinished files left by dead processes of this machine, or by any machine over 24 hours ago."""
        swept = sweep(self._unfinished, private=not self.local)
        for marker in [] if self.local else self.markers():
            if marker.who in swept or time.time() - marker.seen > FORGOTTEN:
                self.remove(f"{PARTIAL}/{marker.who}/{marker.shard:06d}")


def _entry(entry: os.DirEntry) -> tuple[str, tuple[int | None, float]] | None:
    try:
        found = entry.stat()
    except FileNotFoundError:  # removed since it was listed, or a dangling link
        return None
    except OSError:  # a link to itself
        found = entry.stat(follow_symlinks=False)
    return entry.name, (None if stat.S_ISDIR(found.st_mode) else found.st_size, found.st_mtime)


@contextmanager
def open_regular(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a local file for reading. Raises StorageError for a pipe or device, which might never end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise StorageError(f"{path} is not a regular file: remove it")
        yield file


def flush(path: Path) -> None:
    """Flush a file, or a folder's directory entries, to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
