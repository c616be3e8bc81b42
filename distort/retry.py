"""Retries bad pictures after their cause has been fixed."""

from __future__ import annotations

from collections.abc import Iterable

from distort.columns import CLEAN
from distort.distortion import Distortion
from distort.preflight import unreadable
from shards.dataset import Dataset
from shards.plan import column_folder, manifest_rows, shard_name


def mended(dataset: Dataset, root: str, distortions: list[Distortion], shards: Iterable[int]) -> list[int]:
    """Those of ``shards`` that have a picture in ``errors/`` of which all columns can be made now."""
    return [
        shard
        for shard in sorted(dataset.shards_with_errors().intersection(shards))
        if None in unreadable(root, dataset.plan, _bad(dataset, shard), distortions)
    ]


def _bad(dataset: Dataset, shard: int) -> list[dict]:
    """The manifest rows of a shard's pictures in ``errors/``."""
    bad = set(dataset.errors([shard])["source"].to_pylist())
    return [row for row in manifest_rows(dataset.storage, dataset.plan, shard) if row["source"] in bad]


def take_back(dataset: Dataset, shards: Iterable[int]) -> None:
    """Remove the commit marks of ``shards`` in every column, so that they are made again.

    Those of the clean crops are removed last: a column without its mark is remade from the clean crops, so an
    interruption does no harm.
    """
    for shard in shards:
        for name in [*(name for name in dataset.columns if name != CLEAN), CLEAN]:
            dataset.storage.remove(shard_name(column_folder(name), shard, "parquet"))
