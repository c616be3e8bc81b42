"""Metrics of a column that were measured after it was made: ``<column>/metrics/NAME/NNNNNN.parquet``.

A file refers to the two tars that it compares by their sha256, so one of a shard that was remade is recognised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards.errors import DatasetError
from shards.plan import column_folder, shard_name

if TYPE_CHECKING:
    from shards.dataset import Dataset, Mark

METRICS = "metrics"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("distortion", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
    ]
)
CLEAN = "clean"
AGAIN = "'distort measure' writes it again"


@dataclass(frozen=True)
class Measured:
    """One metric of one shard of a column."""

    metric: dict[str, Any]  #: name, title, unit, higher_is_better, sampled, settings, versions, machine
    keys: list[str]
    values: list[float | None]  #: one per key; None where the metric is not defined


def metric_folder(column: str, metric: str) -> str:
    return f"{column_folder(column)}/{METRICS}/{metric}"


def names(dataset: Dataset, column: str) -> list[str]:
    """The metrics of a column that have at least one file."""
    folder = f"{column_folder(column)}/{METRICS}"
    found = (name for name, size in dataset.storage.listing(folder).items() if size is None)
    return sorted(name for name in found if NAME.fullmatch(name) and shards_of(dataset, column, name))


def shards_of(dataset: Dataset, column: str, metric: str) -> set[int]:
    """Numbers of the shards for which a metric has a file."""
    return dataset.shards_in(dataset.storage.listing(metric_folder(column, metric)))


def write(dataset: Dataset, scratch: Path, column: str, shard: int, measured: Measured) -> None:
    """Publish the file of one metric of one shard, atomically; it replaces an earlier one."""
    name = measured.metric["name"]
    marks = {side: dataset.parquet(side, shard, [])[1] for side in (column, CLEAN)}
    record = {
        "plan": dataset.plan.hash,
        "column": column,
        "samples": str(len(measured.keys)),
        "tar_sha256": marks[column].tar_sha256,
        "clean_sha256": marks[CLEAN].tar_sha256,
        "metric": json.dumps(measured.metric, sort_keys=True, ensure_ascii=False),
    }
    columns = [measured.keys, [column] * len(measured.keys), measured.values]
    table = pa.Table.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA.with_metadata(record),
    )
    file = scratch / f"{column_folder(column)}-{name}-{shard:06d}.parquet"
    pq.write_table(table, file, compression="zstd")
    dataset.storage.publish(file, shard_name(metric_folder(column, name), shard, "parquet"))


def read(dataset: Dataset, column: str, metric: str, shard: int, mark: Mark | None = None) -> Measured:
    """One metric of one shard. Raises DatasetError when its file is missing, damaged or of another tar.

    ``mark`` is the commit mark of the column's shard, read if not given.
    """
    file = shard_name(metric_folder(column, metric), shard, "parquet")
    where = f"{dataset.storage.url}/{file}"
    mark = mark or dataset.parquet(column, shard, [])[1]
    try:
        with dataset.parquet_file(file) as parquet:
            table = parquet.read(use_threads=False)
            record = {k.decode(): v.decode() for k, v in (parquet.schema_arrow.metadata or {}).items()}
    except FileNotFoundError:
        raise DatasetError(
            f"{where} is missing: 'distort measure {dataset.storage.url} --metrics {metric}' writes it"
        ) from None
    try:
        described = json.loads(record["metric"])
        sound = table.schema.equals(SCHEMA) and described["name"] == metric
        sound = sound and isinstance(described.get("title", ""), str) and record["samples"] == str(len(table))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DatasetError(f"{where} is damaged: {type(error).__name__} {error}; delete it, {AGAIN}") from None
    if not sound:
        raise DatasetError(f"{where} is not the file of metric '{metric}'; delete it, {AGAIN}")
    if (record.get("plan"), record.get("column")) != (dataset.plan.hash, column):
        raise DatasetError(f"{where} belongs to another plan or column; delete it, {AGAIN}")
    if record.get("tar_sha256") != mark.tar_sha256:
        raise DatasetError(f"{where} was measured on another version of its tar; {AGAIN}")
    return Measured(described, table["key"].to_pylist(), table["value"].to_pylist())


def values(dataset: Dataset, column: str, metric: str, shard: int, keys: pa.ChunkedArray, mark: Mark) -> pa.Array:
    """The values of a metric in the order of ``keys``; null for pictures that were not measured."""
    found = read(dataset, column, metric, shard, mark)
    places = pc.index_in(keys.combine_chunks(), pa.array(found.keys, pa.string()))
    return pa.array(found.values, pa.float64()).take(places)


def problems(dataset: Dataset, column: str) -> Iterator[str]:
    """One line per problem of a column's metrics."""
    folder = f"{column_folder(column)}/{METRICS}"
    for name, size in dataset.storage.listing(folder).items():
        if size is not None or not NAME.fullmatch(name):
            yield f"{folder}/{name}: not the folder of a metric"
            continue
        files = dataset.storage.listing(f"{folder}/{name}")
        there = dataset.shards_in(files)
        for file in sorted(set(files) - {f"{shard:06d}.parquet" for shard in there}):
            yield f"{folder}/{name}/{file}: not a file of this plan, which has {dataset.plan.shards} shards"
        for shard in sorted(there):
            yield from problems_of(dataset, column, name, shard)


def problems_of(dataset: Dataset, column: str, metric: str, shard: int) -> Iterator[str]:
    """One line per problem of one metric of one shard."""
    file = shard_name(metric_folder(column, metric), shard, "parquet")
    if not (dataset.is_committed(column, shard) and dataset.is_committed(CLEAN, shard)):
        yield f"{file}: its shard is not finished; run distort again, then 'distort measure'"
        return
    try:
        table, mark = dataset.parquet(column, shard, ["key"])
        found = read(dataset, column, metric, shard, mark)
        with dataset.parquet_file(file) as parquet:
            clean = (parquet.schema_arrow.metadata or {}).get(b"clean_sha256", b"").decode()
        if clean != dataset.parquet(CLEAN, shard, [])[1].tar_sha256:
            yield f"{file} was measured against another version of the clean crops; {AGAIN}"
    except (DatasetError, OSError) as error:
        yield str(error)
        return
    keys = table["key"].to_pylist()
    if found.metric.get("sampled"):
        kept = set(found.keys)
        keys = [key for key in keys if key in kept]
    if keys != found.keys:
        yield f"{file}: its keys are not those of its shard; delete it, {AGAIN}"
