"""Atomic writes of local files: a file is complete or absent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from shards.storage import flush


def require_writable(out: str | os.PathLike, option: str = "--out") -> None:
    """Raises ValueError when ``out`` is a url, is below a file, or its nearest folder is read-only."""
    parts = Path(out).parts  # of s3://bucket, Path makes s3:/bucket
    if len(parts) > 1 and parts[0].endswith(":"):
        raise ValueError(
            f"{option} {os.fspath(out)} is a url: results are written to local folders and files only; "
            "give one, and copy it afterwards"
        )
    place = Path(out).absolute()
    there = place if place.is_dir() else next(folder for folder in place.parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {os.fspath(out)} cannot be written: {there} is not a folder or is read-only")


def write_atomically(file: Path, write: Callable[[Path], object]) -> None:
    """Call ``write(path)``, flush the new file to disk and rename it to ``file``.

    Raises OSError naming ``file``, which is then unchanged.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        write(partial)
        flush(partial)
        os.replace(partial, file)
        flush(file.parent)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        partial.unlink(missing_ok=True)
