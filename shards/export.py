"""Fat samples for pipelines that want one stream: several columns side by side in single tars."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import column_folder
from shards.storage import Storage
from shards.writer import TarWriter


def export(dataset: Dataset, out: str | Path, columns: list[str]) -> Iterator[tuple[int, int]]:
    """Write ``OUT/NNNNNN.tar`` with KEY.COLUMN.EXT per column, KEY.cls and KEY.json. Yields (shard, samples).

    A file that is there already is refused: an export is made once.
    """
    for name in columns:
        dataset.require_complete(name)
    target = Storage(out)
    taken = [name for name in target.listing() if name.endswith(".tar")]
    if taken:
        raise DatasetError(f"{out} holds {taken[0]} already; choose a new folder or empty it")
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
