"""Scratch folders hold files until they are published; abandoned ones are deleted.

A folder is called HOST-PID-HEX and contains a file that its owner keeps locked. The lock shows whether the owner
is alive. Its process ID does not: it means nothing in another container, and process IDs are reused.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import socket
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shards.errors import StorageError

FORGOTTEN = 24 * 3600  #: seconds without a change after which another machine's folder counts as abandoned
LOCK = "lock"


def _kernel() -> str:
    """Eight hex digits that identify the kernel: processes with the same kernel see each other's locks."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return f"{uuid.getnode():012x}"[-8:]


KERNEL = _kernel()
NAME = re.compile(r".+-\d+-([0-9a-f]{8})([0-9a-f]{8})?")  #: the first eight digits are the owner's kernel


@contextmanager
def scratch_folder(parent: Path, private: bool) -> Iterator[Path]:
    """A new folder in ``parent``, which is created if missing. It is removed at the end with all its contents.

    ``private``: nobody else may write to ``parent``. Raises StorageError as ``check`` does.
    """
    folder, lock = _make(parent, private)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        with suppress(OSError):  # others may be writing
            parent.rmdir()


def sweep(parent: Path, private: bool) -> set[str]:
    """Delete folders left by dead processes of this machine, or by any machine over 24 hours ago.

    Deletes only folders that our user owns and that are named as ``scratch_folder`` names them. Returns their
    names. Raises StorageError as ``check`` does.
    """
    swept = set()
    with suppress(FileNotFoundError):
        check(parent, private)
        here = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for name in filter(NAME.fullmatch, os.listdir(here)):
                with suppress(OSError):  # gone, or not ours
                    if _remove_dead(name, here):
                        swept.add(name)
        finally:
            os.close(here)
        with suppress(OSError):
            parent.rmdir()
    return swept


def check(parent: Path, private: bool) -> None:
    """Raise StorageError if ``parent`` is a link or, with ``private``, if other users may write to it."""
    found = parent.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise StorageError(f"{parent} is a symbolic link or a file, but must be a folder: remove it")
    if private and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
        raise StorageError(f"other users may write to {parent}: remove it, or set TMPDIR to a private folder")


def _make(parent: Path, private: bool) -> tuple[Path, int | None]:
    for _ in range(100):
        folder = parent / f"{socket.gethostname()}-{os.getpid()}-{KERNEL}{secrets.token_hex(4)}"
        with suppress(FileNotFoundError):  # another process has just removed the empty parent
            parent.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
            check(parent, private)
            folder.mkdir()
            if _holds(folder, lock := _lock(folder)):
                return folder, lock
    raise StorageError(f"{parent} keeps disappearing; does another program delete it?")


def _lock(folder: Path) -> int | None:
    """The descriptor of a folder's lock; None where the file system has no locks, so that only age counts."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        with suppress(FileNotFoundError):
            os.unlink(folder / LOCK)
        return None
    return lock


def _holds(folder: Path, lock: int | None) -> bool:
    """Whether the folder still exists: it may have been swept before it was locked."""
    if lock is None:
        return folder.exists()
    try:
        return os.path.samestat(os.stat(folder / LOCK), os.fstat(lock))
    except FileNotFoundError:
        os.close(lock)
        return False


def _remove_dead(name: str, parent: int) -> bool:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return False
    lock = None
    try:
        ours = NAME.fullmatch(name)
        if ours and ours[1] == KERNEL:
            with suppress(FileNotFoundError):
                lock = os.open(f"{name}/{LOCK}", os.O_RDWR | os.O_NOFOLLOW, dir_fd=parent)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError while the owner is alive
        if lock is None and time.time() - _last_change(name, parent) <= FORGOTTEN:
            return False
        shutil.rmtree(name, ignore_errors=True, dir_fd=parent)
        return True
    finally:
        if lock is not None:
            os.close(lock)


def _last_change(name: str, parent: int) -> float:
    here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        times = [os.fstat(here).st_mtime]
        for file in os.listdir(here):
            with suppress(FileNotFoundError):
                times.append(os.stat(file, dir_fd=here, follow_symlinks=False).st_mtime)
        return max(times)
    finally:
        os.close(here)
