"""Folders of source pictures, on a disk or behind any fsspec url. Names are relative, with forward slashes."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

import fsspec

from shards.errors import DatasetError
from shards.remote import plain_errors

BLOCK = 2**18  #: bytes read ahead while the headers of a remote tar are listed


class Disk:
    """A local folder. It may hold millions of files: names only, nothing is looked at before it is read."""

    remote = False

    def __init__(self, root: str):
        self.root = os.path.abspath(root)  #: workers may have another current folder

    def exists(self) -> bool:
        return Path(self.root).is_dir()

    def top(self) -> tuple[list[str], list[str]]:
        """Names of the files and of the folders directly in it, sorted."""
        with os.scandir(self.root) as scan:
            entries = sorted((e for e in scan if not e.name.startswith(".")), key=lambda e: e.name)
        folders = [e.name for e in entries if e.is_dir()]
        return [e.name for e in entries if not e.is_dir()], folders

    def walk(self, folder: str) -> Iterator[str]:
        """Names of all files below ``folder``: those of a folder, then those of its sub-folders, sorted."""
        for here, folders, files in os.walk(os.path.join(self.root, folder), followlinks=True):
            folders.sort()
            relative = os.path.relpath(here, self.root)
            yield from (f"{relative}/{name}" for name in sorted(files))

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        return open(os.path.join(self.root, name), "rb")

    def read(self, name: str, offset: int | None = None, size: int | None = None) -> bytes:
        """A file, or a part of it. Raises OSError."""
        with self.open(name) as file:
            if offset is not None:
                file.seek(offset)
            return file.read(size)


class Remote:
    """A prefix of an object store. Raises StorageError, and FileNotFoundError for a name that is not there."""

    remote = True

    def __init__(self, root: str):
        self.root = root
        try:
            self.fs, self.prefix = fsspec.url_to_fs(root, use_listings_cache=False)
        except ImportError as error:
            raise DatasetError(f"{root}: {error} (for s3:// pip install 'codecproof[s3]')") from None

    def exists(self) -> bool:
        with plain_errors(self.root):
            return self.fs.exists(self.prefix)

    @functools.cached_property
    def _names(self) -> list[str]:
        """All of it, in the order in which ``Disk`` would walk."""
        with plain_errors(self.root):
            found = [path[len(self.prefix) :].lstrip("/") for path in self.fs.find(self.prefix)]
        return sorted(filter(None, found), key=_walk_order)

    def top(self) -> tuple[list[str], list[str]]:
        files = [name for name in self._names if "/" not in name and not name.startswith(".")]
        folders = {name.partition("/")[0] for name in self._names if "/" in name and not name.startswith(".")}
        return files, sorted(folders)

    @functools.cached_property
    def _by_folder(self) -> dict[str, list[str]]:
        folders: dict[str, list[str]] = {}
        for name in self._names:
            folders.setdefault(name.partition("/")[0], []).append(name)
        return folders

    def walk(self, folder: str) -> Iterator[str]:
        return iter(self._by_folder.get(folder, []))

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with plain_errors(self.root), self.fs.open(f"{self.prefix}/{name}", "rb", block_size=BLOCK) as file:
            yield file

    def read(self, name: str, offset: int | None = None, size: int | None = None) -> bytes:
        end = None if offset is None else offset + size
        with plain_errors(self.root):
            return self.fs.cat_file(f"{self.prefix}/{name}", start=offset, end=end)


def _walk_order(name: str) -> list[tuple[bool, str]]:
    *folders, file = name.split("/")
    return [*((True, folder) for folder in folders), (False, file)]


@functools.lru_cache(maxsize=8)
def place(root: str) -> Disk | Remote:
    """The folder called ``root``, a path or a url. Raises DatasetError when a package for the url is missing."""
    if root.startswith("file://"):
        root = root.removeprefix("file://")
    return Remote(root.rstrip("/")) if "://" in root else Disk(root)
