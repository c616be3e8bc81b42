"""Checks every file, hash and key of a dataset and, on request, every bitstream."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from typing import Any

from shards import metrics
from shards.clients import INDEX
from shards.column import COLUMN
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.files import cut
from shards.plan import FILE, MANIFEST, column_folder, manifest_hash, manifest_rows, open_manifest, shard_name
from shards.storage import PARTIAL
from shards.writer import ERRORS, IN_JSON, ROWS_SCHEMA

TEACHERS = "teachers"  #: caches of the training program; only their hashes are checked here
TEACHER = "teacher.json"
#: ``decode(data, column)`` returns the picture in a bitstream; ``column`` is the contents of ``column.json``.
Decoder = Callable[[bytes, dict], Any]
Watch = Callable[[int, int], None]


def verify(
    dataset: Dataset | str | os.PathLike[str], decode: Decoder | bool = False, watch: Watch | None = None
) -> Iterator[str]:
    """Yield one line per problem, each naming its file.

    With ``decode``, every bitstream is decoded and its width and height are compared with the Parquet row.
    ``decode=True`` uses the installed distorter; a function ``decode(data, column)`` has to return an array of
    shape (height, width, 3). ``watch(done, total)`` is called after every shard of every column. Raises
    DatasetError when there is no dataset.

    >>> list(shards.verify("val", decode=True))
    []
    """
    if not isinstance(dataset, Dataset):
        dataset = Dataset(dataset)
    return _verify(dataset, decoder() if decode is True else decode or None, watch)


def _verify(dataset: Dataset, decode: Decoder | None, watch: Watch | None) -> Iterator[str]:
    yield from _manifest(dataset)
    yield from _strangers(dataset)
    if "clean" not in dataset.columns:
        yield f"clean/{COLUMN} is missing: the dataset has no clean column; run distort again"
    tasks = []
    for name in dataset.columns:
        there = _begun(dataset, name)
        tasks += [(name, shard) for shard in there]
        yield from _nothing(dataset, name, there)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda task: _problems(dataset, task[0], task[1], decode), tasks)
        for done, problems in enumerate(found, 1):
            yield from problems
            if watch:
                watch(done, len(tasks))
    for name in dataset.columns:
        yield from metrics.problems(dataset, name)
    yield from _teachers(dataset)


def decoder() -> Decoder:
    """The decoder of the installed distorter (entry-point group ``shards.decoders``)."""
    found = list(entry_points(group="shards.decoders"))
    if not found:
        raise DatasetError("--decode needs an installed decoder: pip install codecproof")
    return found[0].load()


def _manifest(dataset: Dataset) -> Iterator[str]:
    try:
        with open_manifest(dataset.storage) as manifest:
            rows = manifest.metadata.num_rows
            if rows != dataset.plan.pictures:
                yield f"{MANIFEST}: {rows} rows, but {FILE} says {dataset.plan.pictures} pictures"
            elif manifest_hash(manifest.read()) != dataset.plan.manifest:
                yield f"{MANIFEST}: its rows do not match the hash in {FILE}"
    except (OSError, ValueError, KeyError) as error:
        yield f"{MANIFEST} cannot be read: {error}"


def _begun(dataset: Dataset, name: str) -> list[int]:
    """Shards of a column with at least one file, in order."""
    return sorted(_shards_of(dataset, dataset.storage.listing(column_folder(name))))


def _shards_of(dataset: Dataset, files: Collection[str]) -> set[int]:
    tars = (name.removesuffix(".tar") + ".parquet" for name in files if name.endswith(".tar"))
    return dataset.shards_in(tars) | dataset.shards_in(files)


def _nothing(dataset: Dataset, name: str, there: list[int]) -> Iterator[str]:
    missing = dataset.plan.shards - len(there)
    if missing:
        first = min(set(range(len(there) + 1)) - set(there))
        more = f", and {missing - 1} more shards of this column" if missing > 1 else ""
        parquet = shard_name(column_folder(name), first, "parquet")
        yield f"{parquet} and its tar are missing{more}: run distort again"


def _strangers(dataset: Dataset) -> Iterator[str]:
    """Files and folders that do not belong to the plan."""
    columns = {column_folder(name) for name in dataset.columns}
    for name, size in dataset.storage.listing().items():
        if name == PARTIAL:
            yield (
                f"{PARTIAL}: holds unfinished files; the next 'distort run' on the same machine removes them, "
                "or on any machine after 24 hours"
            )
        elif size is None and name not in {*columns, ERRORS, TEACHERS}:
            yield f"{name}: a folder without {COLUMN} is not a column"
    for folder in sorted({*columns, ERRORS}):
        for name in dataset.storage.listing(folder):
            if not _shards_of(dataset, [name]) and name not in (COLUMN, INDEX, metrics.METRICS):
                yield f"{folder}/{name}: not a file of this plan, which has {dataset.plan.shards} shards"


def _problems(dataset: Dataset, name: str, shard: int, decode: Decoder | None) -> list[str]:
    """The problems of one shard of a column; files that cannot be read are also reported here."""
    problems: list[str] = []
    try:
        problems.extend(_shard(dataset, name, shard, decode))
    except OSError as error:
        where = error.filename or shard_name(column_folder(name), shard, "tar")
        problems.append(f"{where} cannot be read: {error.strerror}" if error.strerror else str(error))
    except DatasetError as error:
        problems.append(str(error))
    return problems


def _shard(dataset: Dataset, name: str, shard: int, decode: Decoder | None) -> Iterator[str]:
    """Raises DatasetError or OSError when a file of the shard cannot be read."""
    folder = column_folder(name)
    tar_name, parquet_name = (shard_name(folder, shard, end) for end in ("tar", "parquet"))
    if not dataset.storage.exists(parquet_name):
        yield f"{parquet_name} is missing, so its tar is not committed: run distort again"
        return
    if not dataset.storage.exists(tar_name):
        yield f"{tar_name} is missing, but its Parquet file exists: run distort again"
        return
    table, mark = dataset.parquet(name, shard)
    if not table.schema.equals(ROWS_SCHEMA):
        yield f"{parquet_name}: its columns are not those of docs/format.md"
        return
    rows = table.to_pylist()
    if odd := {row["distortion"] for row in rows} - {name}:
        yield f"{parquet_name}: rows of distortion {', '.join(sorted(odd))}"
    yield from _samples(dataset, name, shard, [(row["key"], row["label"], row["source"]) for row in rows])
    data = dataset.storage.read(tar_name)
    if len(data) != mark.tar_size:
        yield f"{tar_name}: {len(data)} bytes, but the commit mark says {mark.tar_size}: truncated or replaced"
        return
    if hashlib.sha256(data).hexdigest() != mark.tar_sha256:
        yield f"{tar_name}: its sha256 differs from its commit mark: damaged or replaced"
        return
    yield from _members(dataset.columns[name]["extension"], tar_name, data, rows)
    offsets = [row["offset"] for row in rows]
    ends = [row["offset"] + row["size"] for row in rows]
    if decode is None:
        return
    for row, bitstream in zip(rows, cut(data, offsets, ends), strict=True):
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
                f"but its Parquet row says {row['width']}x{row['height']}"
            )


def _teachers(dataset: Dataset) -> Iterator[str]:
    """Problems of complete teacher caches, whose files must match the hashes in ``teacher.json``."""
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
                yield f"{file}: its sha256 differs from the one in {TEACHER}: damaged; run 'train teach' again"


def _samples(dataset: Dataset, name: str, shard: int, samples: list[tuple]) -> Iterator[str]:
    """Check that ``clean`` and ``errors`` hold the manifest's pictures, and that other columns match ``clean``.

    ``samples`` are tuples of key, label and source.
    """
    where = shard_name(column_folder(name), shard, "parquet")
    keys = [key for key, _, _ in samples]
    if name == "clean":
        yield from _planned(dataset, shard, where, samples)
        return
    try:
        clean = dataset.parquet("clean", shard, ["key", "label", "source"])[0]
    except DatasetError:
        return  # reported for the clean column
    clean = list(zip(*(column.to_pylist() for column in clean.columns), strict=True))
    if keys != [key for key, _, _ in clean]:
        odd = next((f": first '{b}' for '{a}'" for (a, *_), b in zip(clean, keys, strict=False) if a != b), "")
        yield f"{where}: its {len(keys)} keys differ from the {len(clean)} of clean, or are in another order{odd}"
    elif samples != clean:
        yield f"{where}: its labels or sources differ from those of clean"


def _planned(dataset: Dataset, shard: int, where: str, samples: list[tuple]) -> Iterator[str]:
    """Check that the clean column's samples are those of the manifest without the bad pictures."""
    planned = {row["key"]: (i, row) for i, row in enumerate(manifest_rows(dataset.storage, dataset.plan, shard))}
    bad, noted = len(planned) - len(samples) // dataset.plan.crops, dataset.bad_pictures(shard)
    if bad != noted:
        yield (
            f"{where}: {len(planned)} pictures planned, {len(planned) - bad} stored, {noted} in "
            f"{shard_name(ERRORS, shard, 'parquet')}: {bad - noted} unaccounted for"
        )
    keys = [key for key, _, _ in samples]
    found = [planned.get(key if dataset.plan.crops == 1 else key.rpartition("-")[0]) for key in keys]
    order = [place[0] for place in found if place]
    if None in found or order != sorted(order) or len(set(keys)) != len(keys):
        yield f"{where}: its keys are not those of {MANIFEST}, each once and in the same order"
    elif any(
        place and tuple(rest) != (place[1]["label"], place[1]["source"])
        for (_, *rest), place in zip(samples, found, strict=True)
    ):
        yield f"{where}: its labels or sources differ from those of {MANIFEST}"


def _members(extension: str, tar_name: str, data: bytes, rows: list[dict]) -> Iterator[str]:
    """Check that the tar is a valid WebDataset shard and matches contents and offsets in the rows."""
    expected = []
    for row in rows:
        expected.append((f"{row['key']}.{extension}", row["offset"], row["size"]))
        if row["label"] is not None:
            expected.append((f"{row['key']}.cls", None, None))
        expected.append((f"{row['key']}.json", None, None))
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = tar.getmembers()
            if [m.name for m in members if m.isreg()] != [name for name, _, _ in expected]:
                yield f"{tar_name}: its members differ from its Parquet file"
                return
            for member, (name, offset, size), row in zip(members, expected, _spread(rows), strict=True):
                if offset is not None and (member.offset_data, member.size) != (offset, size):
                    yield f"{tar_name}: {name} is not at the offset in its Parquet row"
                stream = tar.extractfile(member) if offset is None else None
                content = stream.read() if stream else b""
                if name.endswith(".cls") and content != str(row["label"]).encode():
                    yield f"{tar_name}: {name} is {content!r}, but its Parquet row says {row['label']}"
                if name.endswith(".json"):
                    record = json.loads(content)
                    if record != {field: row[field] for field in IN_JSON}:
                        yield f"{tar_name}: {name} and its Parquet row disagree"
    except (tarfile.TarError, ValueError, RecursionError) as error:
        yield f"{tar_name} is damaged: {error}"


def _spread(rows: list[dict]) -> Iterator[dict]:
    for row in rows:
        yield from [row] * (2 if row["label"] is None else 3)
