"""``train teach``: run a frozen network once over the clean crops and store its log-probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from shards.access import ColumnReader
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.files import Files
from train.engine.checks import require_classes, require_logits
from train.engine.distributed import World
from train.engine.progress import Progress, Waiting
from train.feed import slices, teachers
from train.feed.data import Source, Stream
from train.feed.reading import Survey, survey
from train.feed.workers import batches
from train.methods.reads import CLEAN
from train.networks import models
from train.networks.teacher import Teacher


@dataclass
class Shard:
    """Scores of one shard as they come in, in any order."""

    scores: np.ndarray  #: float16 (samples, classes)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = len(self.scores)


def teach(
    dataset: Dataset,
    arch: str,
    weights: str,
    world: World,
    *,
    batch: int = 64,
    workers: int = 2,
    cache: str | None = None,
) -> tuple[str, int]:
    """Cache a teacher beside the dataset; returns its name and how many shards were computed now.

    Shards computed before from the same clean crops are kept, so a repeated call continues.
    """
    found = survey(dataset, [CLEAN])
    loaded = models.load(arch, weights, len(found.classes))
    require_classes(weights, loaded.meta, found.classes)
    require_logits(loaded.network, dataset, CLEAN)
    contents = teachers.fingerprint(loaded.network, arch)
    name = teachers.identity(contents)
    clean = ColumnReader(dataset, CLEAN, Files(dataset.storage))
    mine = range(world.rank, len(found.counts), world.size)
    before = teachers.recorded(dataset, name)
    entries = {shard: _present(dataset, name, shard, clean, before.get(shard)) for shard in mine}
    todo = [shard for shard, entry in entries.items() if entry is None]
    teacher = Teacher(loaded.network, world.device)
    source = Source(found.url, (CLEAN,), cache=cache)
    for shard in _compute(dataset, name, teacher, source, found, todo, batch, workers, world):
        entries[shard] = teachers.entry(dataset.storage, name, shard)
    everyone = world.gather(entries)
    if everyone:
        merged = {shard: entry for part in everyone for shard, entry in part.items()}
        teachers.write_record(dataset, name, contents, [merged[shard] for shard in range(len(found.counts))])
    world.wait()
    return name, int(world.sum([len(todo)])[0])


def _present(dataset: Dataset, name: str, shard: int, clean: ColumnReader, recorded: str | None) -> dict | None:
    entry = teachers.entry(dataset.storage, name, shard, recorded)
    if entry is None:
        return None
    rows = clean.rows(shard)
    current = (rows.mark.tar_sha256, len(rows), teachers.keys_sha256(rows.keys.to_pylist()))
    return entry if (entry["clean_sha256"], entry["samples"], entry["keys_sha256"]) == current else None


def _compute(
    dataset: Dataset, name: str, teacher: Teacher, source: Source, found: Survey, todo: list[int], batch: int,
    workers: int, world: World,
) -> Iterator[int]:  # fmt: skip
    """Score the shards of ``todo``, publish each when it is complete, and yield its number."""
    pool = [slices.Run(shard, 0, found.counts[shard]) for shard in todo]
    stream = Stream(source, slices.evaluation(pool, rank=0, ranks=1, batch=batch))
    clean = ColumnReader(dataset, CLEAN, Files(dataset.storage))
    shards: dict[int, Shard] = {}
    with (
        Progress("teach", slices.size(pool), quiet=not world.first) as bar,
        batches(stream, workers, pin=world.device.type == "cuda") as items,
    ):
        feed = Waiting(items)
        for part in feed:
            scores = teacher.log_probs(part.images[CLEAN].to(world.device, non_blocking=True)).cpu().numpy()
            if not np.isfinite(scores).all():
                raise DatasetError(f"the teacher's scores of {part.keys[0]} … {part.keys[-1]} are not finite")
            for (shard, row), score in zip(part.places.tolist(), scores, strict=True):
                if shard not in shards:
                    shards[shard] = Shard(np.empty((found.counts[shard], len(score)), np.float16))
                shards[shard].scores[row] = score
                shards[shard].left -= 1
                if shards[shard].left == 0:
                    rows = clean.rows(shard)
                    done = shards.pop(shard).scores
                    keys = rows.keys.to_pylist()
                    teachers.write_shard(dataset.storage, name, shard, done, rows.mark.tar_sha256, keys)
                    yield shard
            bar.update(len(part.keys), feed.seconds)
