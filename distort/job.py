"""A whole job: check plan and columns against the dataset, run the shards, sum up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pyarrow as pa

from distort import engines, sources
from distort.columns import CLEAN
from distort.distortion import Distortion
from distort.engines.base import Done, Failed, Progressed, Refused, run
from distort.places import place
from distort.progress import ShardProgress
from distort.shard import ShardJob, ShardMaker
from distort.stages import Stages
from distort.units import CHUNK, REMOTE_CHUNK, PictureWork, Shards
from shards.clients import INDEX, write_indexes
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import FILE, MANIFEST, Plan, check_manifest, column_folder, open_manifest
from shards.storage import PARTIAL, Storage


@dataclass(frozen=True)
class Where:
    """The engine that makes the shards, and its number of workers."""

    engine: str = "local"
    workers: int | None = None  #: None: as many as the engine thinks right
    address: str | None = None  #: of a cluster

    def check(self) -> None:
        """Raises ValueError for an engine that does not exist, or that takes no address."""
        if self.address and not engines.load(self.engine).addressed:
            raise ValueError(f"--engine {self.engine} takes no --address: give --engine ray too")
        engines.load(self.engine)


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@dataclass
class Summary:
    """The outcome of a job."""

    columns: list[str]  #: that are there now
    shards: int = 0  #: finished now
    skipped: int = 0  #: finished before
    pictures: int = 0  #: of all shards of this part
    made: int = 0  #: pictures of the shards finished now
    bad: int = 0  #: pictures of this part in errors/
    failed: dict[int, str] = field(default_factory=dict)
    stages: Stages = field(default_factory=Stages)  #: seconds of workers
    workers: int = 0
    seconds: float = 0.0  #: of making, start of the workers included

    @property
    def bad_fraction(self) -> float:
        return self.bad / max(self.pictures, 1)


def create(dataset: str, plan: Plan, manifest: pa.Table) -> Dataset:
    """Write a plan into a new folder, or find the same plan in it. Raises DatasetError for another plan."""
    if os.path.isfile(dataset):
        raise DatasetError(f"{dataset} is a file; a dataset is a folder, so give a new name")
    storage = Storage(dataset)
    storage.sweep()
    if not find(dataset, plan, manifest):
        with suppress(FileExistsError):  # another job was faster; whether it has the same plan is seen below
            plan.write(storage, manifest)
        find(dataset, plan, manifest)
    if not storage.exists(MANIFEST):
        plan.write_manifest(storage, manifest)
    return Dataset(dataset)


def find(dataset: str, plan: Plan, manifest: pa.Table) -> Dataset | None:
    """The dataset, if it exists with this plan; None if the folder is new or empty. Writes nothing.

    Raises DatasetError when the folder holds anything else.
    """
    storage = Storage(dataset)
    if not storage.exists(FILE):
        if others := storage.listing().keys() - {FILE, MANIFEST, PARTIAL}:
            raise DatasetError(f"{dataset} holds {min(others)} and no {FILE}; choose a new or empty folder")
        return None
    found = Dataset(dataset)
    if found.plan.hash != plan.hash:
        raise DatasetError(
            f"{dataset} was planned otherwise; use another folder, or the settings it has:\n  "
            + "\n  ".join(found.plan.differences(plan))
        )
    if storage.exists(MANIFEST) and not _same(storage, manifest):
        raise DatasetError(
            f"{dataset}/{MANIFEST} is not that of its {FILE}; delete it, the same command writes it"
        )
    return found


def _same(storage: Storage, manifest: pa.Table) -> bool:
    with open_manifest(storage) as file:
        return file.read().equals(manifest)


def reopen(dataset: str, source: str, split: str | None) -> Dataset:
    """Open a planned dataset to resume it from ``source``, which is not listed again.

    Raises DatasetError, and SourceError when its manifest names files outside of the source.
    """
    found = Dataset(dataset)
    check_manifest(found.storage, found.plan)
    with open_manifest(found.storage) as file:
        manifest = file.read(["source", "offset"])
    sources.check_names(source, split, manifest["source"], manifest["offset"])
    return found


def unfinished(dataset: Dataset, names: Iterable[str], shards: range, only_add: bool) -> list[int]:
    """Those of ``shards`` that lack a column. With ``only_add``, only shards that have clean crops."""
    clean = dataset.committed(CLEAN)
    done = clean.intersection(*(dataset.committed(name) for name in names))
    if only_add:
        return [shard for shard in sorted(clean - done) if shard in shards]
    return [shard for shard in shards if shard not in done]


def execute(
    dataset: Dataset,
    distortions: list[Distortion],
    source_root: str | None,
    where: Where,
    part: tuple[int, int] = (1, 1),
    any_version: bool = False,
    max_bad: float = 1.0,
    quiet: bool = False,
) -> Summary:
    """Run every unfinished shard of this part. ``quiet`` shows no progress.

    Raises OSError when the storage fails.
    """
    job = ShardJob(dataset.storage.absolute, tuple(d.spec for d in distortions), source_root, any_version, max_bad)
    mine = range(part[0] - 1, dataset.plan.shards, part[1])
    names = [distortion.name for distortion in distortions]
    todo = unfinished(dataset, names, mine, only_add=source_root is None)
    summary = Summary([CLEAN, *names], skipped=len(mine) - len(todo), pictures=_pictures(dataset.plan, mine))
    if todo:
        _run(dataset, job, todo, where, summary, quiet)
    if todo or not all(dataset.storage.exists(f"{column_folder(name)}/{INDEX}") for name in summary.columns):
        write_indexes(dataset, summary.columns)
    summary.bad = sum(dataset.bad_pictures(shard) for shard in dataset.shards_with_errors() & set(mine))
    return summary


def _run(dataset: Dataset, job: ShardJob, todo: list[int], where: Where, summary: Summary, quiet: bool) -> None:
    start = time.monotonic()
    engine = engines.load(where.engine)(ShardMaker(job), where.workers, where.address)
    if engine.splits:
        remote = job.source_root is not None and place(job.source_root).remote
        chunk = REMOTE_CHUNK if remote else CHUNK
        work: PictureWork | Shards = PictureWork(dataset, todo, engine.room(), job.max_bad, chunk)
    else:
        work = Shards(todo)
    summary.workers = engine.room()
    events = run(engine, work)
    progress = ShardProgress(len(todo), _pictures(dataset.plan, todo), quiet)
    try:
        for event in events:
            match event:
                case Progressed(shard, pictures, bad):
                    progress.update(shard, pictures, bad)
                case Refused(_, reason):
                    progress.note(f"{reason}\nIts shards go to other machines.")
                case Done(shard):
                    progress.finish(shard)
                    summary.shards += 1
                    summary.made += dataset.plan.pictures_of(shard)
                case Failed(shard, reason, storage):
                    progress.update(shard, 0, 0)
                    progress.finish(shard)
                    summary.failed[shard] = reason
                    if storage:
                        raise OSError(f"shard {shard:06d}: {reason}")
    finally:
        events.close()  # ends all work
        dataset.storage.sweep()
        progress.close()
        summary.stages, summary.seconds = work.stages, time.monotonic() - start


def _pictures(plan: Plan, shards: Iterable[int]) -> int:
    return sum(map(plan.pictures_of, shards))


@contextmanager
def signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise Interrupted once; further signals are ignored during clean-up."""

    def stop(signum: int, frame: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted(signum)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
