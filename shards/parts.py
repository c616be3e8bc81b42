"""Parts: intermediate files with finished samples of an unfinished shard, from which its tars are assembled.

A part is a sequence of records in the order of the shard. A record belongs to one column and holds a JSON object
and bytes. Readers skip the records of other columns without reading them.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

HEAD = struct.Struct("<III")  #: number of the column, length of the JSON, length of the bytes


class PartWriter:
    """Context manager that writes a new part, which is complete when the block exits without an exception."""

    def __init__(self, path: Path):
        self._file = path.open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, column: int, record: dict, data: bytes) -> None:
        """Append a record; ``column`` is a number that writer and reader agree on."""
        text = json.dumps(record, allow_nan=False).encode()
        self._file.write(HEAD.pack(column, len(text), len(data)))
        self._file.write(text)
        self._file.write(data)


def read_part(path: Path, columns: set[int]) -> Iterator[tuple[int, dict, bytes]]:
    """Yield column number, JSON object and bytes of every record of ``columns``.

    Raises OSError when the part is truncated.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while head := file.read(HEAD.size):
            if len(head) < HEAD.size:
                raise OSError(f"{path} ends within a record")
            column, text, data = HEAD.unpack(head)
            if file.tell() + text + data > size:
                raise OSError(f"{path} ends within a record")
            if column in columns:
                record = json.loads(file.read(text))
                yield column, record, file.read(data)
            else:
                file.seek(text + data, os.SEEK_CUR)
