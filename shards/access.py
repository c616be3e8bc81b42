"""Random access to samples: bitstreams are located by the offsets in the Parquet rows and read by ``files.py``."""

from __future__ import annotations

import difflib
import functools
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from shards.errors import DatasetError
from shards.files import Files, Stored, again
from shards.plan import column_folder, shard_name

if TYPE_CHECKING:
    from shards.dataset import Dataset, Mark

SHARDS_HELD = 64  #: number of shards whose rows a column reader keeps in memory
AT_ONCE = 16  #: Parquet files opened at the same time
NEAR_KEYS = 10_000  #: keys among which a similar one is looked for
PLACE = ["key", "label", "offset", "size"]  #: the Parquet columns needed to find a bitstream


class Entry(NamedTuple):
    """One picture of one column."""

    data: bytes  #: the file: a bitstream, or a lossless picture
    extension: str
    bytes: int | None  #: rate: length of the bitstream; None for clean, noise and blur
    bpp: float | None  #: bits per pixel
    psnr: float  #: dB; inf when identical to the clean crop
    ssim: float | None  #: None when the picture is smaller than the window
    width: int
    height: int


@dataclass(frozen=True)
class Rows:
    """The Parquet rows of one shard of one column, in Arrow and numpy arrays: about 60 bytes per row."""

    keys: pa.ChunkedArray  #: strings
    labels: pa.ChunkedArray  #: int64 or null
    offsets: np.ndarray  #: int64: where each bitstream starts in the tar
    ends: np.ndarray  #: int64
    mark: Mark
    table: pa.Table  #: the same and all other requested fields

    def __len__(self) -> int:
        return len(self.offsets)


class ColumnReader:
    """One column of a dataset, read by shard and rows.

    ``fields``: further Parquet columns to read. ``held``: number of shards whose rows stay in memory.
    """

    def __init__(
        self, dataset: Dataset, name: str, files: Files, fields: Sequence[str] = (), held: int = SHARDS_HELD
    ):
        self.dataset, self.name, self.files = dataset, name, files
        self.extension: str = dataset.column(name)["extension"]
        self._fields = [*PLACE, *fields]
        self._limit = held
        self._held: dict[int, Rows] = {}

    def rows(self, shard: int) -> Rows:
        """The Parquet rows of a shard. Raises DatasetError when it is missing, damaged or of another plan."""
        if (rows := self._held.get(shard)) is not None:
            return rows
        table, mark = self.dataset.parquet(self.name, shard, self._fields)
        offsets = table["offset"].to_numpy()
        ends = offsets + table["size"].to_numpy()
        if not ((offsets >= 0) & (offsets <= ends) & (ends <= mark.tar_size)).all():
            raise DatasetError(
                f"{self.dataset.storage.url}/{shard_name(column_folder(self.name), shard, 'parquet')} places "
                "bitstreams outside its tar; delete both and run distort again"
            )
        rows = Rows(table["key"], table["label"], offsets, ends, mark, table)
        self._held[shard] = rows
        for oldest in list(self._held)[: -self._limit]:
            self._held.pop(oldest, None)  # another thread may have been faster
        return rows

    def read(self, shard: int, lo: int, hi: int) -> list[bytes]:
        """The bitstreams of rows ``lo`` to ``hi`` (exclusive), in order. Raises DatasetError."""
        return self.pick(shard, range(lo, hi))

    def pick(self, shard: int, wanted: Sequence[int]) -> list[bytes]:
        """The bitstreams of some rows, in ascending order. Behind a url, neighbours are fetched in one request."""
        rows = self.rows(shard)
        name = shard_name(column_folder(self.name), shard, "tar")
        file = Stored(name, rows.mark.tar_size, rows.mark.tar_sha256, again=again(self.name))
        at = np.asarray(wanted, np.int64)
        return self.files.ranges(file, rows.offsets[at].tolist(), rows.ends[at].tolist())

    def entries(self, shard: int, lo: int, hi: int) -> list[Entry]:
        """The pictures of rows ``lo`` to ``hi`` (exclusive) with their rate, PSNR and SSIM."""
        table = self.rows(shard).table.slice(lo, hi - lo).select(list(Entry._fields[2:]))
        bitstreams = self.read(shard, lo, hi)
        return [
            Entry(data, self.extension, **row | {"psnr": math.inf if row["psnr"] is None else row["psnr"]})
            for data, row in zip(bitstreams, table.to_pylist(), strict=True)
        ]


class Samples:
    """Some columns of a dataset as a sequence of tuples ``(key, label, entry, …)``, one ``Entry`` per column.

    ``samples[5]``, ``samples[-1]`` and ``samples["some_key"]`` are samples; a slice such as ``samples[10:20]`` is
    again a sequence. It works as a map-style ``torch.utils.data.Dataset``; each worker of a DataLoader gets a
    copy. Positions follow the dataset's order. Raises DatasetError for a missing or unfinished column, an unknown
    key and damaged files.
    """

    def __init__(self, dataset: Dataset, columns: Sequence[str]):
        if not columns:
            raise DatasetError("name at least one column, as in select('clean', 'jpeg-10')")
        for name in columns:
            dataset.require_complete(name)
        files = Files(dataset.storage)
        self.dataset = dataset
        self.columns = tuple(columns)
        self._readers = [ColumnReader(dataset, name, files, Entry._fields[2:]) for name in columns]
        self._view: range | None = None  # None: everything

    @functools.cached_property
    def _ends(self) -> list[int]:
        """Position after the last sample of each shard."""
        first = self.columns[0]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            shards = range(self.dataset.plan.shards)
            counts = pool.map(lambda shard: self.dataset.parquet(first, shard, [])[1].samples, shards)
            return list(accumulate(counts))

    @functools.cached_property
    def _positions(self) -> dict[str, int]:
        """Key -> position in the whole dataset; computed when the first key is looked up."""
        shards = range(self.dataset.plan.shards)
        tables = (self.dataset.parquet(self.columns[0], shard, ["key"])[0] for shard in shards)
        keys = (key for table in tables for key in table["key"].to_pylist())
        return {key: position for position, key in enumerate(keys)}

    @property
    def _range(self) -> range:
        return range(self._ends[-1] if self._ends else 0) if self._view is None else self._view

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, item: int | str | slice) -> tuple | Samples:
        if isinstance(item, slice):
            part = object.__new__(Samples)
            part.__dict__ = self.__dict__ | {"_view": self._range[item]}
            return part
        if not isinstance(item, str):
            try:
                return self._at(self._range[item])
            except IndexError:
                where = self.dataset.storage.url
                raise IndexError(f"{where}: there is no sample {item}, there are {len(self):,}") from None
        if item not in self:
            where = "" if self._view is None else " among these samples"
            raise no_key(f"{self.dataset.storage.url} has no key '{item}'{where}", item, list(self._positions))
        return self._at(self._positions[item])

    def __contains__(self, key: object) -> bool:
        return key in self._positions and self._positions[key] in self._range

    def __iter__(self) -> Iterator[tuple]:
        # A slice with a step is read sample by sample, any other shard by shard.
        positions, i = self._range, 0
        while i < len(positions):
            shard, row = self._place(positions[i])
            count = min(self._ends[shard] - positions[i], len(positions) - i) if positions.step == 1 else 1
            yield from read_tuples(self._readers, shard, row, row + count)
            i += count

    def _place(self, position: int) -> tuple[int, int]:
        """Shard and row."""
        shard = bisect_right(self._ends, position)
        return shard, position - (self._ends[shard - 1] if shard else 0)

    def _at(self, position: int) -> tuple:
        shard, row = self._place(position)
        return next(read_tuples(self._readers, shard, row, row + 1))


def stem(key: str) -> str:
    """What a file name given as a key stands for: its last part without the extension."""
    name = key.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def no_key(what: str, key: str, keys: Sequence[str]) -> DatasetError:
    """The error ``what``, with the one of ``keys`` that ``key`` may mean, or one that shows how keys look."""
    meant = stem(key)
    near = [each for each in keys if each.lower() in (meant.lower(), f"{meant}-0".lower())]
    near = near or difflib.get_close_matches(meant, keys[:NEAR_KEYS], n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"keys look like '{keys[0]}'" if keys else "it has no samples"
    return DatasetError(f"{what}; {hint}")


def read_tuples(
    readers: Sequence[ColumnReader], shard: int, lo: int = 0, hi: int | None = None
) -> Iterator[tuple]:
    """``(key, label, entry, …)`` for rows ``lo`` to ``hi`` (exclusive) of a shard, read column by column."""
    rows = same_rows(readers, shard)
    hi = len(rows) if hi is None else hi
    entries = [reader.entries(shard, lo, hi) for reader in readers]
    keys, labels = (column.slice(lo, hi - lo).to_pylist() for column in (rows.keys, rows.labels))
    return zip(keys, labels, *entries, strict=True)


def same_rows(readers: Sequence[ColumnReader], shard: int) -> Rows:
    """The rows of a shard in the first column. Raises DatasetError when another column holds other keys."""
    first, *others = readers
    rows = first.rows(shard)
    for reader in others:
        if not reader.rows(shard).keys.equals(rows.keys):
            raise DatasetError(
                f"{first.dataset.storage.url}: shard {shard:06d} has other keys in '{reader.name}' than in "
                f"'{first.name}'; run 'shards verify' for details"
            )
    return rows
