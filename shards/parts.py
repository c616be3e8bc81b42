"""Parts: finished samples of an unfinished shard, on their way from the worker that made them to the tars.

A part is a sequence of records, each for one column: a JSON object and the bytes that belong to it, in the order
of the shard. What is for another column is skipped without being read.
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
    """Writes a new part. It is whole once the block is left without an exception."""

    def __init__(self, path: Path):
        self._file = path.open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, column: int, record: dict, data: bytes) -> None:
        """``column`` is a number that reader and writer have agreed on."""
        text = json.dumps(record, allow_nan=False).encode()
        self._file.write(HEAD.pack(column, len(text), len(data)))
        self._file.write(text)
        self._file.write(data)


def read_part(path: Path, columns: set[int]) -> Iterator[tuple[int, dict, bytes]]:
    """Number of the column, record and bytes of what a part holds for ``columns``.

    Raises OSError when the part ends too early.
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
