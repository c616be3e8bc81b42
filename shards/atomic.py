"""Local files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from shards.storage import flush


def write_atomically(file: Path, write: Callable[[Path], object]) -> None:
    """Let ``write(path)`` make a file, and rename it to ``file`` when it is complete and on the disk.

    Raises OSError naming ``file``, of which nothing has changed then.
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
