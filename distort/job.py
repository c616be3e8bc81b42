"""A whole job: check plan and columns against the dataset, run the shards, summarise."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

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
from shards.plan import FILE, MANIFEST, Plan, check_manifest, column_folder, dataset_around, open_manifest
from shards.storage import PARTIAL, Storage


@dataclass(frozen=True)
class Where:
    """The engine that makes the shards, and its number of workers."""

    engine: str = "local"
    workers: int | None = None  #: None: the engine's default
    address: str | None = None  #: of a cluster

    def check(self) -> None:
        """Raise ValueError for an unknown engine, or an address if it takes none; OSError if it cannot work."""
        engine = engines.load(self.engine)
        if self.address and not engine.addressed:
            raise ValueError(f"--engine {self.engine} takes no --address: add --engine ray")
        engine.check(self.address)


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@dataclass
class Summary:
    """The outcome of a job."""

    columns: list[str]  #: names of the job's columns, ``clean`` first
    shards: int = 0  #: finished by this job
    skipped: int = 0  #: finished before
    pictures: int = 0  #: in all shards of this part
    made: int = 0  #: pictures in the shards finished by this job
    bad: int = 0  #: pictures of this part in ``errors/``
    failed: dict[int, str] = field(default_factory=dict)  #: shard -> reason
    stages: Stages = field(default_factory=Stages)  #: seconds per stage, summed over workers
    workers: int = 0
    seconds: float = 0.0  #: wall-clock time, start of the workers included

    @property
    def bad_fraction(self) -> float:
        return self.bad / max(self.pictures, 1)


def require_apart(dataset: str) -> None:
    """Raise DatasetError when a new dataset would be a file, or a stray folder inside another dataset."""
    storage = Storage(dataset)
    storage.require_folders()
    if not storage.local or storage.exists(FILE):
        return
    if folder := dataset_around(Path(os.path.realpath(storage.root))):
        raise DatasetError(f"{dataset} is inside the dataset {folder}; choose a folder outside it")


def create(dataset: str, plan: Plan, manifest: pa.Table) -> Dataset:
    """Write the plan into a new folder, or check that the folder has it. Raises DatasetError for another plan."""
    storage = Storage(dataset)
    storage.sweep()
    if not find(dataset, plan, manifest):
        with suppress(FileExistsError):  # another job was faster; its plan is compared below
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
            raise DatasetError(f"{dataset} holds {min(others)} but no {FILE}; choose a new or empty folder")
        return None
    found = Dataset(dataset)
    if found.plan.hash != plan.hash:
        raise DatasetError(
            f"{dataset} has another plan; use another folder, or the settings in the dataset:\n  "
            + "\n  ".join(found.plan.differences(plan))
        )
    if storage.exists(MANIFEST) and not _same(storage, manifest):
        raise DatasetError(f"{dataset}/{MANIFEST} does not belong to its {FILE}; delete it and repeat the command")
    return found


def _same(storage: Storage, manifest: pa.Table) -> bool:
    with open_manifest(storage) as file:
        return file.read().equals(manifest)


def reopen(dataset: str, source: str, split: str | None) -> Dataset:
    """Open a planned dataset to resume it, without listing ``source`` again.

    Raises DatasetError, and SourceError when its manifest names files outside the source.
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
    """Run all unfinished shards of this part. ``quiet``: show no progress.

    Shards that fail are listed in the summary. Raises OSError when the storage or the engine fails.
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
                    progress.note(f"{reason}\nOther machines will make its shards.")
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
