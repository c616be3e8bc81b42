"""Checking a dataset: every file, every hash, every key, and on request every pixel's bitstream."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points

import pyarrow as pa
import pyarrow.parquet as pq

from shards.access import cut
from shards.dataset import COLUMN, Dataset
from shards.errors import DatasetError
from shards.plan import FILE, MANIFEST, column_folder, manifest_hash, manifest_rows, shard_name
from shards.storage import PARTIAL
from shards.writer import ERRORS

TEACHERS = "teachers"  #: caches of the training program; what is known of them here is their hashes
TEACHER = "teacher.json"
#: ``decode(data, column)``: the picture in a bitstream; ``column`` is what ``column.json`` says.
Decoder = Callable[[bytes, dict], "object"]
Watch = Callable[[int, int], None]


def verify(dataset: Dataset, decode: Decoder | None = None, watch: Watch | None = None) -> Iterator[str]:
    """Yield one line per thing that is wrong, each naming its file.

    ``decode(data, column)`` returns an array of shape (height, width, 3); with it, every bitstream is
    decoded and its size compared with the Parquet row. ``watch(done, total)`` is called after every shard of
    every column.
    """
    yield from _manifest(dataset)
    yield from _strangers(dataset)
    if "clean" not in dataset.columns:
        yield f"clean/{COLUMN} is missing: the dataset has no clean column; run distort again"
    tasks = [(name, shard) for name in dataset.columns for shard in range(dataset.plan.shards)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda task: list(_shard(dataset, *task, decode)), tasks)
        for done, problems in enumerate(found, 1):
            yield from problems
            if watch:
                watch(done, len(tasks))
    yield from _teachers(dataset)


def decoder() -> Decoder:
    """The decoder that an installed distorter announces (entry-point group ``shards.decoders``)."""
    found = list(entry_points(group="shards.decoders"))
    if not found:
        raise DatasetError("--decode needs an installed decoder of the bitstreams: pip install codecproof")
    return found[0].load()


def _manifest(dataset: Dataset) -> Iterator[str]:
    try:
        with dataset.storage.open(MANIFEST) as stream:
            if manifest_hash(pq.read_table(stream)) != dataset.plan.manifest:
                yield f"{MANIFEST}: its rows are not those that {FILE} was written for"
    except (OSError, pa.ArrowException) as error:
        yield f"{MANIFEST} cannot be read: {error}"


def _strangers(dataset: Dataset) -> Iterator[str]:
    """Files and folders that belong to no shard of the plan."""
    shards = {f"{i:06d}.{end}" for i in range(dataset.plan.shards) for end in ("tar", "parquet")}
    columns = {column_folder(name) for name in dataset.columns}
    for name, size in dataset.storage.listing().items():
        if name == PARTIAL:
            yield (
                f"{PARTIAL}: holds unfinished files; the next 'distort run' on their machine removes them, "
                "after a day one on any machine does"
            )
        elif size is None and name not in {*columns, ERRORS, TEACHERS}:
            yield f"{name}: a folder without {COLUMN}, not a column"
    for folder in sorted({*columns, ERRORS}):
        for name in dataset.storage.listing(folder):
            if name not in shards and name != COLUMN:
                yield f"{folder}/{name}: not a file of this plan, which has {dataset.plan.shards} shards"


def _shard(dataset: Dataset, name: str, shard: int, decode: Decoder | None) -> Iterator[str]:
    folder = column_folder(name)
    tar_name, parquet_name = (shard_name(folder, shard, end) for end in ("tar", "parquet"))
    has_tar = dataset.storage.exists(tar_name)
    has_parquet = dataset.storage.exists(parquet_name)
    if not has_parquet:
        left = "its tar is there but not committed" if has_tar else "nothing of it is there"
        yield f"{parquet_name} is missing, {left}: run distort again"
        return
    if not has_tar:
        yield f"{tar_name} is missing, its Parquet file is there: run distort again"
        return
    try:
        table, mark = dataset.parquet(name, shard)
    except DatasetError as error:
        yield str(error)
        return
    rows = table.to_pylist()
    yield from _keys(dataset, name, shard, [row["key"] for row in rows])
    data = dataset.storage.read(tar_name)
    if len(data) != mark.tar_size:
        yield f"{tar_name}: {len(data)} bytes, committed with {mark.tar_size}: truncated or replaced"
        return
    if hashlib.sha256(data).hexdigest() != mark.tar_sha256:
        yield f"{tar_name}: its sha256 is not the committed one: damaged or replaced"
        return
    yield from _members(dataset.columns[name]["extension"], tar_name, data, rows)
    offsets = [row["offset"] for row in rows]
    ends = [row["offset"] + row["size"] for row in rows]
    for row, bitstream in zip(rows, cut(data, offsets, ends), strict=True) if decode else ():
        try:
            height, width, _ = decode(bitstream, dataset.columns[name]).shape
        except DatasetError as error:  # of the column, not of this picture
            yield f"{tar_name}: {error}"
            return
        except ValueError as error:
            yield f"{tar_name}: key '{row['key']}': {error}"
            continue
        if (width, height) != (row["width"], row["height"]):
            yield (
                f"{tar_name}: key '{row['key']}' decodes to {width}x{height}, "
                f"its Parquet row says {row['width']}x{row['height']}"
            )


def _teachers(dataset: Dataset) -> Iterator[str]:
    """Cached teachers that are complete: their files are those that ``teacher.json`` recorded."""
    for teacher, size in dataset.storage.listing(TEACHERS).items():
        record = f"{TEACHERS}/{teacher}/{TEACHER}"
        if size is not None or not dataset.storage.exists(record):
            continue
        try:
            entries = json.loads(dataset.storage.read(record))["shards"]
            recorded = [str(entry["sha256"]) for entry in entries]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            yield f"{record} is damaged: {error}; delete it and run 'train teach' again"
            continue
        for shard, sha256 in enumerate(recorded):
            file = f"{TEACHERS}/{teacher}/{shard:06d}.safetensors"
            try:
                wrong = hashlib.sha256(dataset.storage.read(file)).hexdigest() != sha256
            except FileNotFoundError:
                yield f"{file} is missing: run 'train teach' again"
                continue
            if wrong:
                yield f"{file}: its sha256 is not the one in {TEACHER}: damaged; run 'train teach' again"


def _keys(dataset: Dataset, name: str, shard: int, keys: list[str]) -> Iterator[str]:
    """Every picture of the manifest is in ``clean`` or in ``errors``; other columns hold what clean holds."""
    where = f"{shard_name(column_folder(name), shard, 'parquet')}"
    if name == "clean":
        planned = manifest_rows(dataset.storage, shard)
        bad = len(planned) - len(keys) // dataset.plan.crops
        errors = shard_name(ERRORS, shard, "parquet")
        noted = dataset.bad_pictures(shard)
        if bad != noted:
            yield (
                f"{where}: {len(planned)} pictures planned, {len(planned) - bad} stored, {noted} in {errors}: "
                f"{bad - noted} unaccounted for"
            )
        order = {row["key"]: i for i, row in enumerate(planned)}
        pictures = [order.get(key if dataset.plan.crops == 1 else key.rpartition("-")[0]) for key in keys]
        if None in pictures or pictures != sorted(pictures) or len(set(keys)) != len(keys):
            yield f"{where}: keys are not those of {MANIFEST}, each once and in its order"
        return
    try:
        clean = dataset.parquet("clean", shard, ["key"])[0]["key"].to_pylist()
    except DatasetError:
        return  # said of the clean column already
    if keys != clean:
        odd = next((f"'{b}' for '{a}'" for a, b in zip(clean, keys, strict=False) if a != b), "")
        yield f"{where}: {len(keys)} keys, clean has {len(clean)}; not the same in the same order {odd}".rstrip()


def _members(extension: str, tar_name: str, data: bytes, rows: list[dict]) -> Iterator[str]:
    """The tar is a sound WebDataset shard and holds what the rows say where they say."""
    expected = []
    for row in rows:
        expected.append((f"{row['key']}.{extension}", row["offset"], row["size"]))
        if row["label"] is not None:
            expected.append((f"{row['key']}.cls", None, None))
        expected.append((f"{row['key']}.json", None, None))
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = tar.getmembers()
            if [m.name for m in members] != [name for name, _, _ in expected]:
                yield f"{tar_name}: its members are not those of its Parquet file"
                return
            for member, (name, offset, size), row in zip(members, expected, _spread(rows), strict=True):
                if offset is not None and (member.offset_data, member.size) != (offset, size):
                    yield f"{tar_name}: {name} is not at the offset its Parquet row says"
                content = tar.extractfile(member).read() if offset is None else b""
                if name.endswith(".cls") and content != str(row["label"]).encode():
                    yield f"{tar_name}: {name} is {content!r}, its Parquet row says {row['label']}"
                if name.endswith(".json"):
                    record = json.loads(content)
                    if any(record[field] != row[field] for field in record):
                        yield f"{tar_name}: {name} and its Parquet row disagree"
    except (tarfile.TarError, ValueError, KeyError) as error:
        yield f"{tar_name}: not a sound tar: {error}"


def _spread(rows: list[dict]) -> Iterator[dict]:
    for row in rows:
        yield from [row] * (2 if row["label"] is None else 3)
