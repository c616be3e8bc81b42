"""The common form of all sources: pictures with labels."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
from PIL import Image

from distort.pictures import FORMATS

BATCH = 65536  #: pictures held as Python objects at a time
MEMBER = "::"  #: between a tar and its member in the name of a source


class SourceError(ValueError):
    """The source of pictures cannot be used; the message says what was expected."""


class Picture(NamedTuple):
    """One picture of a source."""

    source: str  #: its name, relative to the source's root; ``TAR::MEMBER`` in a tar
    label: str | int | None = None  #: class name or number
    offset: int | None = None  #: of a tar member, in bytes
    size: int | None = None  #: of a tar member, in bytes


class Pictures:
    """A sequence of ``Picture`` for millions of them: an Arrow table, with about 60 bytes each besides the name.

    ``table`` has the columns ``source``, ``label``, ``offset`` and ``size``.
    """

    def __init__(self, rows: Iterable[Picture]):
        """``rows`` are consumed in batches. Their labels are all strings or None, or all integers or None."""
        rows = iter(rows)
        batches = []
        while columns := list(zip(*itertools.islice(rows, BATCH), strict=True)):
            named = any(isinstance(label, str) for label in columns[1])
            types = (pa.large_string(), pa.string() if named else pa.int64(), pa.int64(), pa.int64())
            arrays = [pa.array(column, type) for column, type in zip(columns, types, strict=True)]
            batches.append(pa.Table.from_arrays(arrays, Picture._fields))
        empty = pa.table({name: pa.array([], pa.large_string()) for name in Picture._fields})
        self.table = pa.concat_tables(batches, promote_options="permissive") if batches else empty

    @classmethod
    def of(cls, table: pa.Table) -> Pictures:
        """The pictures of a table with the columns of ``Picture``."""
        pictures = cls(())
        pictures.table = table
        return pictures

    def labelled(self, labels: pa.Array | pa.ChunkedArray) -> Pictures:
        """The same pictures with other labels."""
        return Pictures.of(self.table.set_column(1, "label", labels))

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i: int) -> Picture:
        row = self.table.slice(i if i >= 0 else i + len(self), 1).to_pylist()
        if not row:
            raise IndexError(i)
        return Picture(**row[0])

    def __iter__(self) -> Iterator[Picture]:
        for batch in self.table.to_batches(max_chunksize=BATCH):
            yield from map(Picture._make, zip(*(column.to_pylist() for column in batch.columns), strict=True))


@dataclass(frozen=True)
class Listing:
    """All pictures of a source, and the names of its classes; None without labels."""

    root: str
    pictures: Pictures
    classes: tuple[str, ...] | None
    notes: tuple[str, ...] = ()  #: messages for the user, one line each
    file: str | None = None  #: the list or tar that was listed; None: the folder ``root``

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self.file or self.root


def is_picture(name: str) -> bool:
    """Whether a file's extension is that of a picture and the file is not hidden."""
    format = Image.registered_extensions().get(os.path.splitext(name)[1].lower())
    return format in FORMATS and not name.startswith(".")


def missing(path: str) -> SourceError:
    """The error for a missing file or folder; suggests the most similar name in the same folder."""
    folder, name = os.path.split(path)
    try:
        neighbours = os.listdir(folder) if "://" not in path else []
    except OSError:
        neighbours = []
    near = difflib.get_close_matches(name, neighbours, n=1)
    return SourceError(f"no such file or folder: {path}" + (f"; did you mean {near[0]}?" if near else ""))
