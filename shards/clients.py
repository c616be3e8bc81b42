"""Index files for other readers: timm's reader needs the names and lengths of a column's shards."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from shards.dataset import Dataset
from shards.plan import column_folder

INDEX = "_info.json"
SPLIT = "all"  #: name of a column's only split
AT_ONCE = 16  #: Parquet files opened at the same time


def write_indexes(dataset: Dataset, columns: Iterable[str]) -> None:
    """Write ``COLUMN/_info.json`` for each complete column of ``columns``.

    ``timm.data.create_dataset("wds/NAME", root="DATASET/COLUMN", split="all")`` then reads the column. A file that
    is already up to date is not written again. Writes are atomic.
    """
    shards = range(dataset.plan.shards)
    finished = [name for name in columns if len(dataset.committed(name)) == len(shards)]
    if not finished:
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:  # all columns hold the same samples
        lengths = list(pool.map(lambda shard: dataset.parquet(finished[0], shard, [])[1].samples, shards))
    split = {
        "name": SPLIT,
        "filenames": [f"{shard:06d}.tar" for shard in shards],
        "shard_lengths": lengths,
        "num_samples": sum(lengths),
    }
    text = (json.dumps({"splits": {SPLIT: split}}) + "\n").encode()
    for name in finished:
        file = f"{column_folder(name)}/{INDEX}"
        if not dataset.storage.exists(file) or dataset.storage.read(file) != text:
            dataset.storage.write(file, text)
