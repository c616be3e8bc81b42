"""Retries bad pictures after their cause has been fixed."""

from __future__ import annotations

from collections.abc import Iterable

from distort.columns import CLEAN
from distort.distortion import Distortion
from distort.preflight import unreadable
from shards.dataset import Dataset
from shards.plan import column_folder, manifest_rows, shard_name


def mended(dataset: Dataset, root: str, distortions: list[Distortion], shards: Iterable[int]) -> list[int]:
    """Those of ``shards`` with a picture in ``errors/`` for which all columns can be made now."""
    return [
        shard
        for shard in sorted(dataset.shards_with_errors().intersection(shards))
        if None in unreadable(root, dataset.plan, _bad(dataset, shard), distortions)
    ]


def _bad(dataset: Dataset, shard: int) -> list[dict]:
    """Rows of the manifest whose picture is in ``errors/``."""
    bad = set(dataset.errors([shard])["source"].to_pylist())
    return [row for row in manifest_rows(dataset.storage, dataset.plan, shard) if row["source"] in bad]


def take_back(dataset: Dataset, shards: Iterable[int]) -> None:
    """Have ``shards`` made again: remove their commit marks in every column, the clean crops' last.

    A column that lost its mark alone is made again from the clean crops, so a stop in between does no harm.
    """
    for shard in shards:
        for name in [*(name for name in dataset.columns if name != CLEAN), CLEAN]:
            dataset.storage.remove(shard_name(column_folder(name), shard, "parquet"))
