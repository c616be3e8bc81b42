"""Merges several columns into one set of tars, for pipelines that read a single stream."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence

from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import FILE, column_folder
from shards.storage import Storage
from shards.writer import TarWriter


def export(
    dataset: Dataset | str | os.PathLike[str],
    out: str | os.PathLike[str],
    columns: Sequence[str],
    watch: Callable[[int, int], None] | None = None,
) -> int:
    """Write ``OUT/NNNNNN.tar`` with KEY.COLUMN.EXT per column, KEY.cls and KEY.json. Returns the sample count.

    ``watch(done, total)`` is called after every shard. Raises DatasetError before anything is written when
    OUT is no new or empty folder outside the dataset.

    >>> shards.export("val", "fat", ["clean", "jpeg-10"])
    50000
    """
    if not isinstance(dataset, Dataset):
        dataset = Dataset(dataset)
    target = _target(dataset, out, columns)
    total = 0
    for shard, count in _write(dataset, target, columns):
        total += count
        if watch:
            watch(shard + 1, dataset.plan.shards)
    return total


def _target(dataset: Dataset, out: str | os.PathLike[str], columns: Sequence[str]) -> Storage:
    for name in columns:
        dataset.require_complete(name)
        if columns.count(name) > 1:
            raise DatasetError(f"column '{name}' is listed more than once; every member of a sample has one name")
    target = Storage(out)
    if f"{_place(target)}/".startswith(f"{_place(dataset.storage)}/"):
        raise DatasetError(f"{out} is inside the dataset {dataset.storage.url}; choose a folder outside it")
    target.require_folders()
    there = target.listing()
    if FILE in there:
        raise DatasetError(f"{out} is a dataset; choose a new folder")
    if taken := sorted(name for name in there if not name.startswith(".")):
        raise DatasetError(f"{out} already holds {taken[0]}; choose a new folder or empty it")
    return target


def _place(storage: Storage) -> str:
    return os.path.realpath(storage.root) if storage.local else storage.url.rstrip("/")


def _write(dataset: Dataset, target: Storage, columns: Sequence[str]) -> Iterator[tuple[int, int]]:
    with target.scratch() as scratch:
        for shard in range(dataset.plan.shards):
            tar = TarWriter(scratch / f"{shard:06d}.tar")
            count = 0
            for key, label, *entries in dataset.read(*columns, shards=[shard]):
                record = {}
                for name, entry in zip(columns, entries, strict=True):
                    tar.add(f"{key}.{column_folder(name)}.{entry.extension}", entry.data)
                    record[name] = {
                        "bytes": entry.bytes,
                        "bpp": entry.bpp,
                        "psnr": None if entry.psnr == float("inf") else entry.psnr,
                        "ssim": entry.ssim,
                    }
                if label is not None:
                    tar.add(f"{key}.cls", str(label).encode())
                tar.add(f"{key}.json", json.dumps(record, allow_nan=False).encode())
                count += 1
            tar.close()
            target.publish(tar.path, tar.path.name)
            yield shard, count
