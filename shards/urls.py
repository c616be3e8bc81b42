"""Urls of a column's tars, for programs that read plain webdataset."""

from __future__ import annotations

import os
from typing import BinaryIO
from urllib.parse import urlsplit

import fsspec

from shards.dataset import Dataset
from shards.plan import column_folder, shard_name


def urls(root: str | os.PathLike, column: str) -> list[str]:
    """Paths or urls of all tars of a column, for ``wds.WebDataset``, which can then open any fsspec url.

    Raises DatasetError when the column is missing or unfinished. If your DataLoader does not fork its workers,
    call ``register`` in its ``worker_init_fn``.
    """
    dataset = Dataset(root)
    dataset.require_complete(column)
    register(dataset.storage.url)
    where = dataset.storage.absolute.rstrip("/")
    return [f"{where}/{shard_name(column_folder(column), shard, 'tar')}" for shard in range(dataset.plan.shards)]


def register(url: str) -> None:
    """Make webdataset open urls of this scheme through fsspec."""
    from webdataset.gopen import gopen_schemes

    if scheme := urlsplit(str(url)).scheme:
        gopen_schemes[scheme] = _open


def _open(url: str, mode: str = "rb", *_: object, **__: object) -> BinaryIO:
    if mode != "rb":
        raise ValueError(f"{url} is opened for reading only; distort writes datasets")
    return fsspec.open(url, "rb").open()
