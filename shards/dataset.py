"""Reading a dataset: its columns, its samples as tuples, its statistics as Arrow."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards import metrics
from shards.access import NEAR_KEYS, ColumnReader, Entry, Samples, no_key, read_tuples, stem
from shards.column import COLUMN, read_column, settings_sha256
from shards.errors import DatasetError, StorageError
from shards.files import Files
from shards.plan import Plan, check_keys, column_folder, shard_name
from shards.storage import Storage
from shards.writer import ERRORS, ERRORS_SCHEMA, ROWS_SCHEMA


@dataclass(frozen=True)
class Mark:
    """The commit mark: what a shard's Parquet file records about its tar."""

    plan: str  #: hash of the plan
    samples: int
    tar_size: int  #: bytes
    tar_sha256: str  #: hex
    column: str | None  #: None only in shards of an older version that have no rows
    settings_sha256: str | None  #: see ``shards.column.settings_sha256``; None in shards of an older version


class Dataset:
    """An existing dataset. Files are read only when needed.

    It is a sequence of samples with all columns, in the order of ``columns``; ``select`` chooses columns. Raises
    DatasetError when there is no dataset at ``root``, a path or an fsspec url.
    """

    def __init__(self, root: str | os.PathLike):
        self.storage = Storage(root)
        self.plan = Plan.read(self.storage)

    @functools.cached_property
    def columns(self) -> dict[str, dict]:
        """Name -> contents of ``column.json``; ``clean`` first, the others sorted by name."""
        found = {}
        for folder, size in self.storage.listing().items():
            if size is None and self.storage.exists(f"{folder}/{COLUMN}"):
                try:
                    column = read_column(self.storage.read(f"{folder}/{COLUMN}"), folder)
                except ValueError as error:
                    raise DatasetError(
                        f"{self.storage.url}/{folder}/{COLUMN} is damaged: {error}; restore it, or remove the "
                        "folder to make the column again"
                    ) from None
                found[column["column"]] = column
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
        return True  # even for a dataset without samples

    def column(self, name: str) -> dict:
        """The contents of a column's ``column.json``. Raises DatasetError when there is no such column."""
        if name not in self.columns:
            have = ", ".join(self.columns) or "none"
            raise DatasetError(
                f"{self.storage.url} has no column '{name}'; it has {have} ('distort add' adds columns)"
            )
        return self.columns[name]

    def committed(self, name: str) -> set[int]:
        """Numbers of a column's finished shards: those with both a tar and a Parquet file."""
        files = self.storage.listing(column_folder(name))
        return {shard for shard in self.shards_in(files) if f"{shard:06d}.tar" in files}

    def shards_in(self, files: Iterable[str]) -> set[int]:
        """Shards of the plan that have a Parquet file among ``files``."""
        stems = (name.removesuffix(".parquet") for name in files if name.endswith(".parquet"))
        numbers = {stem: int(stem) for stem in stems if re.fullmatch(r"[0-9]{6,}", stem)}
        return {i for stem, i in numbers.items() if i < self.plan.shards and stem == f"{i:06d}"}

    def is_committed(self, name: str, shard: int) -> bool:
        """Whether a shard of a column is finished."""
        folder = column_folder(name)
        return all(self.storage.exists(shard_name(folder, shard, end)) for end in ("parquet", "tar"))

    def require_complete(self, name: str) -> None:
        """Raise DatasetError if the column or any of its shards is missing."""
        self.column(name)
        committed = self.committed(name)
        if len(committed) < self.plan.shards:
            first = next(shard for shard in range(self.plan.shards) if shard not in committed)
            raise DatasetError(
                f"{self.storage.url}: column '{name}' lacks {self.plan.shards - len(committed)} of "
                f"{self.plan.shards} shards, first {shard_name(column_folder(name), first, 'tar')}; "
                "repeat the 'distort run' or 'distort add' that makes it"
            )

    def parquet(self, name: str, shard: int, columns: list[str] | None = None) -> tuple[pa.Table, Mark]:
        """The rows of one shard of a column and its commit mark.

        ``columns`` selects Parquet columns and metrics that ``distort measure`` has added; None: all Parquet
        columns. Raises DatasetError when a file is missing, damaged, or of another plan, column or settings.
        """
        extra = [field for field in columns or () if field not in ROWS_SCHEMA.names]
        stored = columns
        if columns and extra:
            stored = list(dict.fromkeys([*(field for field in columns if field not in extra), "key"]))
        file = shard_name(column_folder(name), shard, "parquet")
        where = f"{self.storage.url}/{file}"
        try:
            with self.parquet_file(file) as parquet:
                table = parquet.read(stored, use_threads=False)
                mark = _mark(parquet)
        except FileNotFoundError:
            raise DatasetError(f"{where} is missing: the shard is not finished; run distort again") from None
        if mark is None:
            raise DatasetError(f"{where} has no commit mark: it was not written by distort; delete it")
        if mark.plan != self.plan.hash:
            raise DatasetError(f"{where} belongs to another plan; delete it and run distort again")
        if mark.column not in (None, name):
            raise DatasetError(
                f"{where} was made for column '{mark.column}' and copied here; delete it and its tar and run "
                "distort again"
            )
        if mark.settings_sha256 not in (None, settings_sha256(self.column(name))):
            raise DatasetError(
                f"{where} was made with other settings than {column_folder(name)}/{COLUMN} says; restore the file "
                "that was changed"
            )
        if mark.samples != len(table):
            raise DatasetError(
                f"{where} has {len(table)} rows, but its commit mark says {mark.samples}; delete it and run "
                "distort again"
            )
        if "key" in table.column_names:
            check_keys(table["key"], where)
        for metric in extra:
            found = metrics.values(self, name, metric, shard, table["key"], mark)
            table = table.append_column(metric, found)
        return table.select(columns) if columns and extra else table, mark

    def read(self, *columns: str, shards: Iterable[int] | None = None) -> Iterator[tuple]:
        """Yield ``(key, label, entry, …)`` for every sample, one ``Entry`` per column, in the given order.

        Each shard is read as a whole, column by column. Without ``shards``, all columns must be complete. Raises
        DatasetError when a column or shard is missing, when a tar's size differs from its commit mark, or when
        the keys of two columns differ.
        """
        if shards is None:
            yield from self.select(*columns)
            return
        files = Files(self.storage)
        readers = [ColumnReader(self, name, files, Entry._fields[2:]) for name in columns]
        for shard in shards:
            yield from read_tuples(readers, shard)

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """All committed rows of a column, in order; ``columns`` as in ``parquet``. Raises DatasetError."""
        parts = [self.parquet(name, shard, columns)[0] for shard in sorted(self.committed(name))]
        fields = [pa.field(field, pa.float64()) for field in columns or () if field not in ROWS_SCHEMA.names]
        schema = pa.schema([*ROWS_SCHEMA, *fields])
        empty = schema.empty_table().select(ROWS_SCHEMA.names if columns is None else columns)
        return pa.concat_tables([empty, *(part.replace_schema_metadata(None) for part in parts)])

    def metrics(self, name: str) -> list[str]:
        """The metrics that ``distort measure`` has added to a column; ``table`` reads them by name."""
        return metrics.names(self, name)

    def find(self, key: str) -> tuple[int, dict[str, dict]]:
        """The shard that holds ``key``, and its row in every column that has it. Raises DatasetError."""
        meant = stem(key)
        seen: list[str] = []
        for shard in sorted(self.committed("clean")):
            keys = self.parquet("clean", shard, ["key"])[0]["key"].to_pylist()
            if key in keys:
                row = keys.index(key)
                have = [name for name in self.columns if shard in self.committed(name)]
                return shard, {name: self.parquet(name, shard)[0].slice(row, 1).to_pylist()[0] for name in have}
            seen = [*([meant] if meant in keys else []), *seen, *keys][:NEAR_KEYS]
        raise no_key(f"{self.storage.url} has no key '{key}'", key, seen)

    def bad_pictures(self, shard: int) -> int:
        """Number of pictures of a shard that could not be read. Raises DatasetError."""
        with suppress(FileNotFoundError), self.parquet_file(shard_name(ERRORS, shard, "parquet")) as parquet:
            return parquet.metadata.num_rows
        return 0

    def shards_with_errors(self) -> set[int]:
        """Shards with at least one picture that could not be read."""
        return self.shards_in(self.storage.listing(ERRORS))

    def errors(self, shards: Iterable[int] | None = None) -> pa.Table:
        """``source`` and ``reason`` of every picture that could not be read, or of those of some shards."""
        tables = [ERRORS_SCHEMA.empty_table()]
        for shard in sorted(self.shards_with_errors()) if shards is None else shards:
            with self.parquet_file(shard_name(ERRORS, shard, "parquet")) as parquet:
                tables.append(parquet.read(ERRORS_SCHEMA.names, use_threads=False).cast(ERRORS_SCHEMA))
        return pa.concat_tables(tables)

    @contextmanager
    def parquet_file(self, file: str) -> Iterator[pq.ParquetFile]:
        """Open a Parquet file of the dataset. Errors name the file and say what to do."""
        where = f"{self.storage.url}/{file}"
        try:
            with self.storage.open(file) as stream:
                yield pq.ParquetFile(stream, pre_buffer=not self.storage.local)  # a disk needs no second thread
        except (FileNotFoundError, StorageError):
            raise
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise StorageError(f"{where} cannot be read: {error.strerror}") from error
            raise DatasetError(f"{where} is damaged: {error}; delete it and run distort again") from None

    def stats(self) -> pa.Table:
        """One row per column: samples, identical pictures, mean and standard deviation of rate, PSNR and SSIM.

        ``psnr_mean`` is the mean PSNR in dB over the pictures that differ from their clean crop; ``identical``
        counts the others, whose PSNR is infinite. ``stored`` is the total size of the tars in bytes.
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


def _mark(parquet: pq.ParquetFile) -> Mark | None:
    """The commit mark, or None. Older marks lack the column's name, which is then taken from the rows."""
    marks = {k.decode(): v.decode() for k, v in (parquet.schema_arrow.metadata or {}).items()}
    column = marks.get("column")
    if column is None and parquet.metadata.num_rows:
        names = pc.unique(parquet.read(["distortion"], use_threads=False)["distortion"])
        column = ", ".join(names.to_pylist())
    try:
        counts = int(marks["samples"]), int(marks["tar_size"])
        return Mark(marks["plan"], *counts, marks["tar_sha256"], column, marks.get("settings_sha256"))
    except (KeyError, ValueError):
        return None


def natural(name: str) -> list:
    """Sort key that puts jpeg-5 before jpeg-10, and a chain after its first step."""
    return [
        (1, float(part), "") if part[0].isdigit() else (0, 0.0, part)
        for part in re.findall(r"\d+(?:\.\d+)?|\D+", name)
    ]


def open(root: str | os.PathLike) -> Dataset:
    """The dataset in a folder or at an fsspec url. Raises DatasetError when there is none."""
    return Dataset(root)
