"""Folders of source pictures, on a disk or at any fsspec url. Names are relative, with forward slashes."""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO

import fsspec

from shards.errors import DatasetError
from shards.remote import plain_errors

BLOCK = 2**18  #: bytes read ahead while the headers of a remote tar are listed
MAX_BYTES = 2**30  #: larger picture files are refused: a sparse file could fill the memory
#: Folders that operating systems create among pictures. They are skipped, as hidden files and folders are.
JUNK = {"@eaDir", "#recycle", "__MACOSX", "lost+found", "$RECYCLE.BIN", "System Volume Information"}


class Disk:
    """A local folder. It may hold millions of files, so listing reads names only and opens no file.

    Names are decoded as UTF-8 in any locale; invalid bytes appear as ``\\xe9``.
    """

    remote = False

    def __init__(self, root: str):
        self.root = os.path.abspath(root)  #: absolute, because workers may have another current folder

    def exists(self) -> bool:
        return os.path.isdir(self.root)

    def alive(self) -> bool:
        """Whether the folder exists and is not empty. An unmounted disk leaves an empty folder behind."""
        try:
            with os.scandir(self.root) as scan:
                return next(scan, None) is not None
        except OSError:
            return False

    def top(self) -> tuple[list[str], list[str]]:
        """Names of the files and of the folders directly in this folder, sorted. Raises OSError."""
        return _scan(os.fsencode(self.root))

    def walk(self, folders: list[str]) -> Iterator[str]:
        """Names of all files below ``folders``: the files of each folder first, then its sub-folders.

        Raises OSError when a folder cannot be listed, or is reached twice through symbolic links.
        """
        seen = {_identity(os.fsencode(self.root)): "."}
        waiting = folders[::-1]
        while waiting:
            here = waiting.pop()
            path = self._path(here)
            identity = _identity(path)
            first = seen.setdefault(identity, here)
            if first != here and identity[1]:  # some network disks have no inode numbers
                reason = f"a symbolic link makes it the same folder as {first}, so its pictures would count twice"
                raise OSError(errno.ELOOP, reason, os.fsdecode(path))
            files, folders = _scan(path)
            waiting += [f"{here}/{name}" for name in reversed(folders)]
            yield from (f"{here}/{name}" for name in files)

    def _path(self, name: str) -> bytes:
        return os.path.join(os.fsencode(self.root), name.encode("utf-8", "surrogateescape"))

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a regular file. FIFOs and devices are refused with an OSError, without waiting for them."""
        descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
            raise OSError(errno.ENXIO, "not a regular file", name)
        return open(descriptor, "rb")

    def read(self, name: str, offset: int | None = None, size: int | None = None) -> bytes:
        """The bytes of a file, or ``size`` bytes of it from ``offset``. Raises OSError."""
        with self.open(name) as file:
            if offset is not None:
                file.seek(offset)
            elif os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
            return file.read(-1 if size is None else size)


def _scan(path: bytes) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders directly in a folder, sorted; hidden ones and ``JUNK`` are skipped."""
    files, folders = [], []
    with os.scandir(path) as scan:
        for entry in scan:
            if entry.name.startswith(b"."):
                continue
            name = entry.name.decode("utf-8", "backslashreplace")
            if not _is_folder(entry):
                files.append(name)
            elif name not in JUNK:
                folders.append(name)
    return sorted(files), sorted(folders)


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether this is a folder, or a broken link whose name looks like a folder's: listing it gives the error."""
    try:
        if entry.is_dir():
            return True
        return entry.is_symlink() and b"." not in entry.name and not os.path.exists(entry.path)
    except OSError:  # a link to itself; reading it gives the error
        return False


def _identity(path: bytes) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


class Remote:
    """A prefix in an object store. Raises StorageError, and FileNotFoundError for a missing name."""

    remote = True

    def __init__(self, root: str):
        self.root = root
        try:
            self.fs, self.prefix = fsspec.url_to_fs(root, use_listings_cache=False)
        except (ImportError, ValueError) as error:  # a missing package, an unknown protocol
            hint = " (pip install 'codecproof[s3]')" if root.startswith("s3:") else ""
            raise DatasetError(f"{root}: {error}{hint}") from None

    def exists(self) -> bool:
        with plain_errors(self.root):
            return self.fs.exists(self.prefix)

    alive = exists

    @functools.cached_property
    def _names(self) -> list[str]:
        """All names except hidden ones and ``JUNK``, in the order of ``Disk.walk``."""
        with plain_errors(self.root):
            found = [path[len(self.prefix) :].lstrip("/") for path in self.fs.find(self.prefix)]
        return sorted(filter(_visible, found), key=_walk_order)

    def top(self) -> tuple[list[str], list[str]]:
        files = [name for name in self._names if "/" not in name]
        return files, sorted({name.partition("/")[0] for name in self._names if "/" in name})

    @functools.cached_property
    def _by_folder(self) -> dict[str, list[str]]:
        folders: dict[str, list[str]] = {}
        for name in self._names:
            folders.setdefault(name.partition("/")[0], []).append(name)
        return folders

    def walk(self, folders: list[str]) -> Iterator[str]:
        return (name for folder in folders for name in self._by_folder.get(folder, []))

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with plain_errors(self.root), self.fs.open(f"{self.prefix}/{name}", "rb", block_size=BLOCK) as file:
            yield file

    def read(self, name: str, offset: int | None = None, size: int | None = None) -> bytes:
        end = None if offset is None or size is None else offset + size
        with plain_errors(self.root):
            return self.fs.cat_file(f"{self.prefix}/{name}", start=offset, end=end)


def _visible(name: str) -> bool:
    return bool(name) and not any(part.startswith(".") or part in JUNK for part in name.split("/"))


def _walk_order(name: str) -> list[tuple[bool, str]]:
    *folders, file = name.split("/")
    return [*((True, folder) for folder in folders), (False, file)]


@functools.lru_cache(maxsize=8)
def place(root: str) -> Disk | Remote:
    """``open_place``, cached per process, for reading pictures one by one."""
    return open_place(root)


def open_place(root: str) -> Disk | Remote:
    """The folder at ``root``, a path or a url; not cached, so that a new listing sees its present contents.

    Raises DatasetError when the package for this kind of url is missing, or the protocol is unknown.
    """
    if root.startswith("file://"):
        root = root.removeprefix("file://")
    return Remote(root.rstrip("/")) if "://" in root else Disk(root)
