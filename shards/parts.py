"""Parts: finished samples of an unfinished shard, on their way from the worker that made them to the tar.

A part is a sequence of records, each a JSON object and the bytes that belong to it, in the order of the shard.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

LENGTHS = struct.Struct("<II")  #: of the JSON and of the bytes


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

    def add(self, record: dict, data: bytes) -> None:
        text = json.dumps(record, allow_nan=False).encode()
        self._file.write(LENGTHS.pack(len(text), len(data)))
        self._file.write(text)
        self._file.write(data)


def read_part(path: Path) -> Iterator[tuple[dict, bytes]]:
    """The records of a part. Raises OSError when it ends too early."""
    with path.open("rb") as file:
        while lengths := file.read(LENGTHS.size):
            if len(lengths) < LENGTHS.size:
                raise OSError(f"{path} ends within a record")
            text, data = LENGTHS.unpack(lengths)
            record, content = file.read(text), file.read(data)
            if len(record) < text or len(content) < data:
                raise OSError(f"{path} ends within a record")
            yield json.loads(record), content
