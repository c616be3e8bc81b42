"""Bitstreams of a dataset's columns by (shard, rows), cut out of the tars at the offsets of the Parquet files."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from shards.dataset import Dataset, Mark
from shards.errors import DatasetError
from shards.plan import column_folder, shard_name
from shards.storage import Storage

OPEN_FILES = 16  #: tars a worker keeps open


@dataclass(frozen=True)
class Survey:
    """What is known of a dataset before anything is decoded."""

    url: str
    plan: str  #: hash of the plan
    classes: tuple[str, ...]
    crops: int
    shuffled: bool
    counts: tuple[int, ...]  #: samples per shard

    @property
    def samples(self) -> int:
        return sum(self.counts)


def survey(dataset: Dataset, columns: Sequence[str]) -> Survey:
    """Look at the Parquet files of ``columns`` and at the sizes of their tars.

    Raises DatasetError when a column or shard is missing, a tar is not as long as its commit mark says, columns
    have different counts, the dataset has no classes, or a label is not one of them.
    """
    url, plan = dataset.storage.url, dataset.plan
    if plan.classes is None:
        raise DatasetError(f"{url} has no labels: training and evaluation need one folder per class in the source")
    counts = None
    for name in columns:
        dataset.require_complete(name)
        sizes = dataset.storage.listing(column_folder(name))
        look = functools.partial(_look, dataset, name, sizes)
        with ThreadPoolExecutor(16) as pool:
            found = tuple(pool.map(look, range(plan.shards)))
        if counts is None:
            counts, first = found, name
        for shard, (a, b) in enumerate(zip(counts, found, strict=True)):
            if a != b:
                raise DatasetError(
                    f"{url}: shard {shard:06d} has {a} samples in '{first}' and {b} in '{name}'; "
                    "'shards verify' says more"
                )
    return Survey(url, plan.hash, plan.classes, plan.crops, bool(plan.settings.get("shuffled")), counts or ())


def _look(dataset: Dataset, name: str, sizes: dict, shard: int) -> int:
    table, mark = dataset.parquet(name, shard, ["label"])
    tar = shard_name(column_folder(name), shard, "tar")
    there = sizes[Path(tar).name]
    if there != mark.tar_size:
        raise DatasetError(
            f"{dataset.storage.url}/{tar} has {there} bytes, its Parquet file says {mark.tar_size}: "
            "truncated or replaced; delete both and run distort again"
        )
    low, high = (pc.min_max(table["label"]).as_py()[end] for end in ("min", "max"))
    classes = len(dataset.plan.classes)
    if table["label"].null_count or (len(table) and not 0 <= low <= high < classes):
        odd = "none" if table["label"].null_count else low if low < 0 else high
        raise DatasetError(
            f"{dataset.storage.url}/{Path(tar).with_suffix('.parquet')} has label {odd}, "
            f"the dataset has {classes} classes (0..{classes - 1})"
        )
    return mark.samples


@dataclass(frozen=True)
class Rows:
    """The Parquet rows of one shard of one column that reading needs."""

    keys: list[str]
    labels: np.ndarray
    offsets: np.ndarray
    ends: np.ndarray
    sizes: set[tuple[int, int]]  #: (width, height)
    mark: Mark


class Files:
    """Byte ranges of a dataset's files: local ones directly, remote ones by range requests or a local copy.

    A copy in ``cache`` is named by its sha256, which is checked when it is made. Files are never removed.
    """

    def __init__(self, storage: Storage, cache: str | os.PathLike | None = None):
        self.storage = storage
        self.cache = None if storage.local or cache is None else Path(cache)
        self._open: OrderedDict[str, int] = OrderedDict()

    def read(self, name: str, start: int, stop: int, size: int, sha256: str) -> bytes:
        """Bytes ``start`` to ``stop`` of a file of ``size`` bytes. Raises DatasetError when it is another one."""
        try:
            if self.storage.local or self.cache:
                data = os.pread(self._descriptor(name, size, sha256), stop - start, start)
            else:
                data = self.storage.fs.cat_file(self.storage.path(name), start=start, end=stop)
        except FileNotFoundError:
            raise DatasetError(
                f"{self.storage.url}/{name} is missing: it was there when the dataset was opened"
            ) from None
        if len(data) != stop - start:
            raise DatasetError(f"{self.storage.url}/{name} ends before byte {stop}: truncated or replaced")
        return data

    def _descriptor(self, name: str, size: int, sha256: str) -> int:
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        path = self._copy(name, sha256) if self.cache else self.storage.path(name)
        descriptor = os.open(path, os.O_RDONLY)
        there = os.fstat(descriptor).st_size
        if there != size:
            os.close(descriptor)
            raise DatasetError(
                f"{self.storage.url}/{name} has {there} bytes instead of {size}: truncated or replaced"
            )
        self._open[name] = descriptor
        if len(self._open) > OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _copy(self, name: str, sha256: str) -> Path:
        target = self.cache / f"{sha256}{Path(name).suffix}"
        if not target.exists():
            data = self.storage.read(name)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise DatasetError(f"{self.storage.url}/{name}: its sha256 is not the committed one: damaged")
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.{os.getpid()}")
            partial.write_bytes(data)
            os.replace(partial, target)
        return target

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


class Column:
    """One column of a dataset, read by rows."""

    def __init__(self, dataset: Dataset, name: str, files: Files):
        self.dataset, self.name, self.files = dataset, name, files
        self.extension = dataset.column(name)["extension"]
        self.rows = functools.lru_cache(maxsize=4)(self._rows)

    def _rows(self, shard: int) -> Rows:
        wanted = ["key", "label", "offset", "size", "width", "height"]
        table, mark = self.dataset.parquet(self.name, shard, wanted)
        offsets = table["offset"].to_numpy()
        return Rows(
            table["key"].to_pylist(),
            table["label"].to_numpy(),
            offsets,
            offsets + table["size"].to_numpy(),
            set(zip(table["width"].to_pylist(), table["height"].to_pylist(), strict=True)),
            mark,
        )

    def read(self, shard: int, lo: int, hi: int) -> list[bytes]:
        """The bitstreams of rows ``lo`` to ``hi`` (exclusive), by one sequential read."""
        rows = self.rows(shard)
        start, stop = int(rows.offsets[lo]), int(rows.ends[hi - 1])
        name = shard_name(column_folder(self.name), shard, "tar")
        data = self.files.read(name, start, stop, rows.mark.tar_size, rows.mark.tar_sha256)
        cuts = zip((rows.offsets[lo:hi] - start).tolist(), (rows.ends[lo:hi] - start).tolist(), strict=True)
        return [data[a:b] for a, b in cuts]
