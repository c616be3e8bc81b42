"""Reading a dataset: its columns, its samples as tuples, its statistics as Arrow."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards.access import ColumnReader, Entry, Files, Samples, read_tuples
from shards.errors import DatasetError, StorageError
from shards.plan import Plan, check_keys, column_folder, shard_name
from shards.storage import Storage
from shards.writer import ERRORS, SCHEMA

COLUMN = "column.json"


@dataclass(frozen=True)
class Mark:
    """What a committed Parquet file says of its tar."""

    plan: str
    samples: int
    tar_size: int
    tar_sha256: str


class Dataset:
    """A dataset that exists. Nothing is read before it is asked for.

    It is the sequence of its samples with all of its columns, in the order of ``columns``; ``select`` narrows it.
    """

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

    @functools.cached_property
    def _samples(self) -> Samples:
        return self.select(*self.columns)

    def select(self, *columns: str) -> Samples:
        """The samples of some columns as a sequence: by position, key or slice. Raises DatasetError."""
        return Samples(self, columns)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, item: int | str | slice) -> tuple | Samples:
        return self._samples[item]

    def __contains__(self, key: object) -> bool:
        return key in self._samples

    def __iter__(self) -> Iterator[tuple]:
        return iter(self._samples)

    def __bool__(self) -> bool:
        return True  # there is one, whatever it holds

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
        if "key" in table.column_names:
            check_keys(table["key"], where)
        return table, mark

    def read(self, *columns: str, shards: Iterable[int] | None = None) -> Iterator[tuple]:
        """Yield ``(key, label, entry, …)`` for every sample, one ``Entry`` per column asked for, in order.

        A shard is read whole, column by column. Without ``shards`` every column has to be complete. Raises
        DatasetError when a column or shard is missing, a tar has not the size its mark says, or the keys of two
        columns do not match.
        """
        if shards is None:
            yield from self.select(*columns)
            return
        files = Files(self.storage)
        readers = [ColumnReader(self, name, files, Entry._fields[2:]) for name in columns]
        for shard in shards:
            yield from read_tuples(readers, shard)

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

    def errors(self, shards: Iterable[int] | None = None) -> pa.Table:
        """``source`` and ``reason`` of every picture that could not be read, or of those of some shards."""
        tables = []
        for shard in sorted(self.shards_with_errors()) if shards is None else shards:
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
