"""Files of a dataset, on a local disk or behind any fsspec url, published whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from shards.errors import DatasetError

PARTIAL = ".partial"  #: local folder of files that are not finished, inside the dataset


class Storage:
    """The folder or object-store prefix of one dataset. Names are relative to it, with forward slashes."""

    def __init__(self, url: str | os.PathLike):
        url = os.fspath(url)
        if url.startswith("pipe:"):
            raise DatasetError(f"{url}: shell commands are not opened; give a folder or an fsspec url")
        self.fs, self.root = fsspec.url_to_fs(url)
        self.url = url
        self.local = isinstance(self.fs, LocalFileSystem)

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes:
        return self.fs.cat_file(self.path(name))

    def exists(self, name: str) -> bool:
        return self.fs.exists(self.path(name))

    def listing(self, folder: str = "") -> dict[str, int | None]:
        """Names in a folder and their sizes in bytes; sub-folders have size None. Empty when there is none."""
        self.fs.invalidate_cache(self.root)
        try:
            found = self.fs.ls(self.path(folder).rstrip("/"), detail=True)
        except FileNotFoundError:
            return {}
        return {Path(info["name"]).name: None if info["type"] == "directory" else info["size"] for info in found}

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A local folder of this process for files to be published; removed at the end with what is left."""
        if self.local:
            name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
            folder = Path(self.root, PARTIAL, name)
            folder.mkdir(parents=True)
        else:
            folder = Path(tempfile.mkdtemp(prefix="codecproof-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # others may be writing
                folder.parent.rmdir()

    def publish(self, file: Path, name: str) -> None:
        """Move a finished local file to ``name``: it appears whole or not at all, and survives a power cut."""
        if not self.local:
            self.fs.put_file(str(file), self.path(name))
            file.unlink()
            return
        _flush(file)
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
        _flush(target.parent)

    def write(self, name: str, data: bytes) -> None:
        """Publish ``data`` as ``name``."""
        with self.scratch() as folder:
            file = folder / "file"
            file.write_bytes(data)
            self.publish(file, name)

    def sweep(self) -> None:
        """Remove what dead processes of this machine left unfinished. Other machines look after theirs."""
        partial = Path(self.root, PARTIAL)
        if not self.local or not partial.is_dir():
            return
        for folder in partial.iterdir():
            host, pid, _ = folder.name.rsplit("-", 2)
            if host == socket.gethostname() and not _alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            partial.rmdir()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
