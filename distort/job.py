"""A whole job: agree on the plan and the columns with what is on disk, run the shards, sum up."""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa

from distort import crops, engine
from distort.codecs.lossless import LOSSLESS
from distort.distortion import Distortion
from distort.progress import ProgressLine
from distort.shard import CLEAN, Job, run_shard
from shards.dataset import COLUMN, Dataset
from shards.errors import DatasetError
from shards.plan import FILE, MANIFEST, Plan, column_folder
from shards.storage import PARTIAL, Storage


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@dataclass
class Summary:
    """What became of a job."""

    shards: int = 0  #: finished now
    skipped: int = 0  #: finished before
    pictures: int = 0  #: of all shards of this part
    bad: int = 0  #: pictures of this part in errors/
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def bad_fraction(self) -> float:
        return self.bad / max(self.pictures, 1)


def create(dataset: str, plan: Plan, manifest: pa.Table) -> Dataset:
    """Write a plan into a new folder, or find the same plan in it. Raises DatasetError for another plan."""
    storage = Storage(dataset)
    storage.sweep()
    if storage.exists(FILE):
        there = Plan.read(storage)
        if there.hash != plan.hash:
            raise DatasetError(
                f"{dataset} was planned otherwise; use another folder, or the settings it has:\n  "
                + "\n  ".join(there.differences(plan))
            )
    else:
        others = storage.listing().keys() - {MANIFEST, PARTIAL}
        if others:
            raise DatasetError(f"{dataset} holds {min(others)} and no {FILE}; choose a new or empty folder")
        plan.write(storage, manifest)
    return Dataset(dataset)


def declare_columns(dataset: Dataset, distortions: list[Distortion]) -> None:
    """Write ``column.json`` of every column that is new; refuse one that would be made otherwise now."""
    settings = dataset.plan.settings
    store = LOSSLESS[settings["clean"]]
    crop = crops.parse(settings["crop"])
    stored = {"name": f"lossless {settings['clean']}", "settings": store.settings, "versions": store.versions()}
    cut = {"name": f"crop {crop.name}", "settings": crop.settings, "versions": crop.versions()}
    _declare(dataset, CLEAN, store.extension, [cut, stored])
    for distortion in distortions:
        steps = distortion.settings()
        if not distortion.has_bitstream:
            steps.append(stored)
        _declare(dataset, distortion.name, distortion.extension(store), steps)


def _declare(dataset: Dataset, name: str, extension: str, steps: list[dict]) -> None:
    file = f"{column_folder(name)}/{COLUMN}"
    column = json.loads(json.dumps({"column": name, "extension": extension, "steps": steps}))
    if dataset.storage.exists(file):
        there = dataset.columns.get(name)
        if there != column:
            raise DatasetError(
                f"{dataset.storage.url}: column '{name}' was made otherwise, more of it would not match:\n  "
                + "\n  ".join(_differences(there or {}, column))
                + "\nUse what it was made with, or make a new dataset."
            )
        return
    dataset.storage.write(file, (json.dumps(column, indent=2, sort_keys=True) + "\n").encode())
    vars(dataset).pop("columns", None)  # read again, with the new one


def _differences(there: dict, now: dict, prefix: str = "") -> Iterator[str]:
    for name in sorted({*there, *now}):
        a, b = there.get(name), now.get(name)
        if isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and name == "steps":
            for x, y in zip(a, b, strict=True):
                yield from _differences(x, y, f"{y.get('name')} ")
        elif isinstance(a, dict) and isinstance(b, dict):
            yield from _differences(a, b, prefix)
        elif a != b:
            yield f"{prefix}{name}: {json.dumps(a)} in the dataset, {json.dumps(b)} now"


def execute(
    dataset: Dataset,
    distortions: list[Distortion],
    source_root: str | None,
    workers: int,
    part: tuple[int, int] = (1, 1),
) -> Summary:
    """Run every unfinished shard of this part. Raises OSError when the storage fails, Stopped on a signal."""
    job = Job(dataset.storage.url, tuple(d.name for d in distortions), source_root)
    mine = range(part[0] - 1, dataset.plan.shards, part[1])
    done = set.intersection(*(dataset.committed(name) for name in (CLEAN, *job.distortions)))
    todo = [shard for shard in mine if shard not in done]
    if source_root is None:
        todo = [shard for shard in todo if shard in dataset.committed(CLEAN)]
    summary = Summary(skipped=len(mine) - len(todo), pictures=_pictures(dataset.plan, mine))
    progress = ProgressLine(len(todo), _pictures(dataset.plan, todo))
    events = engine.map_unordered(functools.partial(run_shard, job), todo, workers)
    try:
        with _signals():
            for event in events:
                match event:
                    case engine.Progress(shard, pictures, bad):
                        progress.update(shard, pictures, bad)
                    case engine.Done(shard):
                        progress.finish(shard)
                        summary.shards += 1
                    case engine.Failed(shard, reason, storage):
                        progress.update(shard, 0, 0)
                        progress.finish(shard)
                        summary.failed[shard] = reason
                        if storage:
                            raise OSError(f"shard {shard:06d}: {reason}")
    finally:
        events.close()  # kills the workers
        dataset.storage.sweep()
        progress.close()
    summary.bad = sum(dataset.bad_pictures(shard) for shard in mine)
    return summary


def _pictures(plan: Plan, shards) -> int:
    return sum(min(plan.per_shard, plan.pictures - shard * plan.per_shard) for shard in shards)


@contextmanager
def _signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped, once; what follows is clean-up and not disturbed again."""

    def stop(signum, frame):
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped(signum)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
