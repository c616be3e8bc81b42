"""The facts about a dataset that need no decoding: counts, sizes, labels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import column_folder, shard_name


@dataclass(frozen=True)
class Survey:
    """The facts about a dataset that need no decoding."""

    url: str
    plan: str  #: hash of the plan
    classes: tuple[str, ...]
    crops: int
    shuffled: bool
    counts: tuple[int, ...]  #: samples per shard

    @property
    def samples(self) -> int:
        return sum(self.counts)

    @property
    def scattered(self) -> bool:
        """Whether neighbouring samples are similar; training then draws samples one by one."""
        return self.crops > 1 or not self.shuffled


def survey(dataset: Dataset, columns: Sequence[str]) -> Survey:
    """Look at the Parquet files of ``columns`` and at the sizes of their tars.

    Raises DatasetError when a column or shard is missing, a tar's size differs from its commit mark, columns
    have different counts, a shard occurs under two numbers, the dataset has no classes, or a label is not
    one of them.
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
            looked = list(pool.map(look, range(plan.shards)))
        _require_different(dataset, name, [key for _, key in looked])
        found = tuple(count for count, _ in looked)
        if counts is None:
            counts, first = found, name
        for shard, (a, b) in enumerate(zip(counts, found, strict=True)):
            if a != b:
                raise DatasetError(
                    f"{url}: shard {shard:06d} has {a} samples in '{first}' and {b} in '{name}'; "
                    "'shards verify' says more"
                )
    return Survey(url, plan.hash, plan.classes, plan.crops, bool(plan.settings.get("shuffled")), counts or ())


def _require_different(dataset: Dataset, name: str, keys: Sequence[str | None]) -> None:
    """Raises DatasetError when two shards begin with the same key: they would be copies of each other."""
    seen: dict[str, int] = {}
    for shard, key in enumerate(keys):
        if key is not None and seen.setdefault(key, shard) != shard:
            raise DatasetError(
                f"{dataset.storage.url}: column '{name}' holds the same samples twice, in shards {seen[key]:06d} "
                f"and {shard:06d} (key '{key}'): one was copied over the other; run 'shards verify' to see which"
            )


def _look(dataset: Dataset, name: str, sizes: dict, shard: int) -> tuple[int, str | None]:
    """How many samples a shard has, and the key of the first."""
    table, mark = dataset.parquet(name, shard, ["key", "label"])
    tar = shard_name(column_folder(name), shard, "tar")
    there = sizes[Path(tar).name]
    if there != mark.tar_size:
        raise DatasetError(
            f"{dataset.storage.url}/{tar} has {there} bytes, but its Parquet file says {mark.tar_size}: "
            "truncated or replaced; delete both and run distort again"
        )
    low, high = (pc.min_max(table["label"]).as_py()[end] for end in ("min", "max"))
    classes = len(dataset.plan.classes or ())
    if table["label"].null_count or (len(table) and not 0 <= low <= high < classes):
        odd = "none" if table["label"].null_count else low if low < 0 else high
        raise DatasetError(
            f"{dataset.storage.url}/{Path(tar).with_suffix('.parquet')} has label {odd}, "
            f"but the dataset has {classes} classes (0..{classes - 1})"
        )
    return mark.samples, table["key"][0].as_py() if len(table) else None
