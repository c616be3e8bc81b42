"""Reading a dataset: its columns, its samples as tuples, its statistics as Arrow."""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards.errors import DatasetError, StorageError
from shards.plan import Plan, column_folder, shard_name
from shards.storage import Storage
from shards.writer import ERRORS, SCHEMA

COLUMN = "column.json"


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
class Mark:
    """What a committed Parquet file says of its tar."""

    plan: str
    samples: int
    tar_size: int
    tar_sha256: str


class Dataset:
    """A dataset that exists. Nothing is read before it is asked for."""

    def __init__(self, root: str | os.PathLike):
        self.storage = Storage(root)
        self.plan = Plan.read(self.storage)

    @functools.cached_property
    def columns(self) -> dict[str, dict]:
        """Name -> contents of ``column.json``, ``clean`` first, the others by name."""
        found = {}
        for folder, size in self.storage.listing().items():
            if size is None and self.storage.exists(f"{folder}/{COLUMN}"):
                try:
                    column = json.loads(self.storage.read(f"{folder}/{COLUMN}"))
                    found[column["column"]] = column
                except (ValueError, KeyError, TypeError) as error:
                    raise DatasetError(f"{self.storage.url}/{folder}/{COLUMN} is damaged: {error}") from None
        return dict(sorted(found.items(), key=lambda item: (item[0] != "clean", natural(item[0]))))

    def column(self, name: str) -> dict:
        if name not in self.columns:
            have = ", ".join(self.columns) or "none"
            raise DatasetError(
                f"{self.storage.url} has no column '{name}'; it has {have} ('distort add' makes more)"
            )
        return self.columns[name]

    def committed(self, name: str) -> set[int]:
        """Numbers of the shards of a column that are finished: tar and Parquet both there."""
        files = self.storage.listing(column_folder(name))
        return {i for i in range(self.plan.shards) if {f"{i:06d}.tar", f"{i:06d}.parquet"} <= files.keys()}

    def is_committed(self, name: str, shard: int) -> bool:
        """Whether one shard of a column is finished."""
        folder = column_folder(name)
        return all(self.storage.exists(shard_name(folder, shard, end)) for end in ("parquet", "tar"))

    def require_complete(self, name: str) -> None:
        """Raises DatasetError when the column is missing or any of its shards is."""
        self.column(name)
        missing = sorted(set(range(self.plan.shards)) - self.committed(name))
        if missing:
            raise DatasetError(
                f"{self.storage.url}: column '{name}' lacks {len(missing)} of {self.plan.shards} shards, "
                f"first {shard_name(column_folder(name), missing[0], 'tar')}; "
                "the same 'distort run' or 'distort add' goes on where it stopped"
            )

    def parquet(self, name: str, shard: int, columns: list[str] | None = None) -> tuple[pa.Table, Mark]:
        """The rows of one shard of a column, and its commit mark. Raises DatasetError."""
        file = shard_name(column_folder(name), shard, "parquet")
        where = f"{self.storage.url}/{file}"
        try:
            with self.storage.open(file) as stream:
                table = pq.read_table(stream, columns=columns, use_threads=False)
        except FileNotFoundError:
            raise DatasetError(f"{where} is missing: the shard is not finished; run distort again") from None
        except StorageError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"{where} is damaged: {error}; delete it and run distort again") from None
        marks = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        try:
            mark = Mark(marks["plan"], int(marks["samples"]), int(marks["tar_size"]), marks["tar_sha256"])
        except (KeyError, ValueError):
            raise DatasetError(f"{where} carries no commit mark: it was not written by distort") from None
        if mark.plan != self.plan.hash:
            raise DatasetError(f"{where} belongs to another plan; delete it and run distort again")
        if mark.samples != len(table):
            raise DatasetError(f"{where} has {len(table)} rows, its mark says {mark.samples}")
        return table, mark

    def read(self, *columns: str, shards: Iterable[int] | None = None) -> Iterator[tuple]:
        """Yield ``(key, label, entry, …)`` for every sample, one ``Entry`` per column asked for, in order.

        A shard is read whole, column by column. Raises DatasetError when a column or shard is missing, a tar
        has not the size its mark says, or the keys of two columns do not match.
        """
        if not columns:
            raise DatasetError("name at least one column, as in read('clean', 'jpeg-10')")
        for name in columns:
            self.column(name)
            if shards is None:
                self.require_complete(name)
        for shard in range(self.plan.shards) if shards is None else shards:
            yield from zip(*self._shard(columns, shard), strict=True)

    def _shard(self, columns: tuple[str, ...], shard: int) -> list[Iterable]:
        keys = labels = None
        entries = []
        for name in columns:
            table, mark = self.parquet(name, shard)
            rows = table.to_pylist()
            if keys is None:
                keys, labels = [row["key"] for row in rows], [row["label"] for row in rows]
            elif keys != [row["key"] for row in rows]:
                raise DatasetError(
                    f"{self.storage.url}: shard {shard:06d} has other keys in '{name}' than in '{columns[0]}'; "
                    "'shards verify' says where"
                )
            entries.append(self._entries(name, shard, rows, mark))
        return [keys, labels, *entries]

    def _entries(self, name: str, shard: int, rows: list[dict], mark: Mark) -> Iterator[Entry]:
        file = shard_name(column_folder(name), shard, "tar")
        try:
            tar = self.storage.read(file)
        except FileNotFoundError:
            raise DatasetError(f"{self.storage.url}/{file} is missing; run distort again") from None
        if len(tar) != mark.tar_size:
            raise DatasetError(
                f"{self.storage.url}/{file} has {len(tar)} bytes, its Parquet file says {mark.tar_size}: "
                "truncated or replaced; delete both and run distort again"
            )
        extension = self.columns[name]["extension"]
        for row in rows:
            yield Entry(
                tar[row["offset"] : row["offset"] + row["size"]],
                extension,
                row["bytes"],
                row["bpp"],
                math.inf if row["psnr"] is None else row["psnr"],
                row["ssim"],
                row["width"],
                row["height"],
            )

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """All committed rows of a column, in order."""
        parts = [self.parquet(name, shard, columns)[0] for shard in sorted(self.committed(name))]
        empty = SCHEMA.empty_table() if columns is None else SCHEMA.empty_table().select(columns)
        return pa.concat_tables([empty, *(part.replace_schema_metadata(None) for part in parts)])

    def find(self, key: str) -> tuple[int, dict[str, dict]]:
        """The shard that holds ``key``, and its row in every column that has it. Raises DatasetError."""
        for shard in sorted(self.committed("clean")):
            keys = self.parquet("clean", shard, ["key"])[0]["key"].to_pylist()
            if key in keys:
                row = keys.index(key)
                have = [name for name in self.columns if shard in self.committed(name)]
                return shard, {name: self.parquet(name, shard)[0].slice(row, 1).to_pylist()[0] for name in have}
        raise DatasetError(f"{self.storage.url} has no key '{key}'; its Parquet files list all of them")

    def bad_pictures(self, shard: int) -> int:
        """How many pictures of a shard could not be read."""
        try:
            with self.storage.open(shard_name(ERRORS, shard, "parquet")) as stream:
                return pq.read_metadata(stream).num_rows
        except FileNotFoundError:
            return 0

    def shards_with_errors(self) -> set[int]:
        """Shards of which a picture could not be read."""
        names = map(Path, self.storage.listing(ERRORS))
        return {int(name.stem) for name in names if name.suffix == ".parquet" and name.stem.isdecimal()}

    def errors(self) -> pa.Table:
        """``source`` and ``reason`` of every picture that could not be read."""
        tables = []
        for shard in sorted(self.shards_with_errors()):
            with self.storage.open(shard_name(ERRORS, shard, "parquet")) as stream:
                tables.append(pq.read_table(stream, use_threads=False))
        return pa.concat_tables(tables) if tables else pa.table({"source": [], "reason": []})

    def stats(self) -> pa.Table:
        """One row per column: samples, identical pictures, mean and standard deviation of rate, PSNR and SSIM.

        ``psnr_mean`` is the mean of per-image dB over the pictures that differ from their clean crop;
        ``identical`` counts the others, whose PSNR is infinite. ``stored`` is the size of the tars in bytes.
        """
        return pa.Table.from_pylist([self._column_stats(name) for name in self.columns])

    def _column_stats(self, name: str) -> dict:
        table = self.table(name, ["bytes", "bpp", "psnr", "ssim"])
        row = {
            "distortion": name,
            "samples": len(table),
            "identical": table["psnr"].null_count,
            "stored": sum(
                size or 0
                for file, size in self.storage.listing(column_folder(name)).items()
                if file.endswith(".tar")
            ),
        }
        for value in ("bytes", "bpp", "psnr", "ssim"):
            row[f"{value}_mean"] = pc.mean(table[value].cast(pa.float64())).as_py()
            row[f"{value}_std"] = pc.stddev(table[value].cast(pa.float64())).as_py()
        return row


def natural(name: str) -> list:
    """Sort key that puts jpeg-5 before jpeg-10, and chains after what they start with."""
    return [
        (1, float(part), "") if part[0].isdigit() else (0, 0.0, part)
        for part in re.findall(r"\d+(?:\.\d+)?|\D+", name)
    ]


def open(root: str | os.PathLike) -> Dataset:
    """The dataset in a folder or behind an fsspec url. Raises DatasetError when there is none."""
    return Dataset(root)
