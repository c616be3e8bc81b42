"""``distort measure``: further metrics of finished columns, into new files beside their shards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from distort import codecs, engines
from distort.columns import CLEAN
from distort.engines.base import Done, Failed, ReportProgress, Unit, run
from distort.job import Where
from distort.quality import SAMPLE, Metric, Pair, parse_metrics
from distort.stages import Stages
from distort.units import Made, Shards
from shards import metrics as files
from shards.access import ColumnReader, Entry, read_tuples
from shards.console import Bar, plural
from shards.console import names as names_in
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.files import Files

CHUNK = 32  #: pictures read at once


@dataclass(frozen=True, eq=False)
class MeasureShard(Unit):
    """Some metrics of one shard of one column. Returns ``Made``."""

    shard: int
    column: str
    metrics: tuple[str, ...]


@dataclass
class Measurements:
    """What ``measure`` did."""

    columns: list[str]
    metrics: list[str]
    measured: int = 0  #: files written: one per shard, column and metric
    skipped: int = 0  #: files that were there
    failed: dict[str, str] = field(default_factory=dict)  #: column/shard -> reason


def measure(
    dataset: str | os.PathLike[str],
    *,
    metrics: str | Iterable[str],
    columns: str | Iterable[str] | None = None,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    part: tuple[int, int] = (1, 1),
    quiet: bool = True,
) -> Measurements:
    """Measure further metrics of a dataset's pictures, as ``distort measure`` does; no existing file is changed.

    ``metrics`` and ``columns`` are names, in a list or separated by commas; None: all columns but the clean one.
    ``part`` (k, n) takes every n-th shard from the k-th only. Sampled metrics, the times, are measured by one
    process alone, after all others.

    >>> import distort
    >>> distort.measure("val", metrics="ms-ssim,psnr-y").measured
    900

    Raises ValueError for an unknown metric or column, a missing package, and shards that failed; OSError when the
    storage or the engine fails. Finished files are kept, and the same call goes on after them.
    """
    where = Where(engine, workers, address)
    where.check()
    wanted = parse_metrics(metrics if isinstance(metrics, str) else ",".join(metrics))
    data = Dataset(dataset)
    names = _columns(data, columns)
    summary = Measurements(names, [metric.name for metric in wanted])
    mine = range(part[0] - 1, data.plan.shards, part[1])
    everywhere = [metric for metric in wanted if not metric.sampled]
    sampled = [metric for metric in wanted if metric.sampled]
    data.storage.sweep()
    _run(data, _todo(data, names, everywhere, mine, summary), where, summary, quiet)
    first = [shard for shard in mine if shard == 0]
    _run(data, _todo(data, names, sampled, first, summary), Where("local", 1), summary, quiet)
    if summary.failed:
        place, reason = min(summary.failed.items())
        raise DatasetError(
            f"{plural(len(summary.failed), 'shard')} failed: remove the cause, then repeat the "
            f"command; {place}: {reason}"
        )
    return summary


def _columns(dataset: Dataset, columns: str | Iterable[str] | None) -> list[str]:
    if columns is None:
        found = [name for name in dataset.columns if name != CLEAN]
    else:
        found = names_in(columns) if isinstance(columns, str) else list(dict.fromkeys(columns))
    for name in [CLEAN, *found]:
        dataset.column(name)
    if not found:
        raise DatasetError(f"{dataset.storage.url}: no columns to measure; 'distort add' makes some")
    return found


def _todo(
    dataset: Dataset, columns: list[str], metrics: list[Metric], shards: Iterable[int], summary: Measurements
) -> list[MeasureShard]:
    """The units that are missing. Metrics of a shard are measured together, so it is decoded once."""
    units, clean = [], dataset.committed(CLEAN)
    for column in columns if metrics else ():
        there = clean & dataset.committed(column) & set(shards)
        missing: dict[int, list[str]] = {shard: [] for shard in sorted(there)}
        for metric in metrics:
            for shard in there - _current(dataset, column, metric, there):
                missing[shard].append(metric.name)
        units += [MeasureShard(shard, column, tuple(names)) for shard, names in missing.items() if names]
        summary.skipped += sum(len(metrics) - len(names) for names in missing.values())
    return units


def _current(dataset: Dataset, column: str, metric: Metric, shards: set[int]) -> set[int]:
    """Shards whose file of a metric is of the tars that are there now, all measured in the same way.

    A complete column is left alone even if another version measured it; an incomplete one is not continued so.
    """
    found = {}
    for shard in shards & files.shards_of(dataset, column, metric.name):
        if not any(files.problems_of(dataset, column, metric.name, shard)):
            found[shard] = files.read(dataset, column, metric.name, shard).metric
    ways = list(found.values())
    if len(found) == len(shards) and all(way == ways[0] for way in ways):
        return set(found)
    return {shard for shard, way in found.items() if way == metric.described()}


def _run(dataset: Dataset, todo: list[MeasureShard], where: Where, summary: Measurements, quiet: bool) -> None:
    if not todo:
        return
    work = _Work(todo)
    events = run(
        engines.load(where.engine)(Measurer(dataset.storage.absolute), where.workers, where.address), work
    )
    with Bar("measure", len(todo), "shards", quiet=quiet) as bar:
        try:
            for event in events:
                match event:
                    case Done():
                        bar.update(bar.done + 1)
                    case Failed(shard, reason, storage) if storage:
                        raise OSError(f"shard {shard:06d}: {reason}")
        finally:
            events.close()
            dataset.storage.sweep()
    summary.failed |= work.reasons
    summary.measured += sum(len(unit.metrics) for unit in todo if _place(unit) not in work.reasons)


class _Work(Shards):
    """Shards of columns, each measured by one worker; ``reasons`` says why some failed."""

    def __init__(self, todo: list[MeasureShard]):
        super().__init__(())
        self.todo.extend(todo)
        self.size = len(todo)
        self.reasons: dict[str, str] = {}

    def failed(self, unit: Unit, reason: str, storage: bool = False) -> Iterator[Failed]:
        assert isinstance(unit, MeasureShard)
        self.reasons[_place(unit)] = reason
        yield Failed(unit.shard, reason, storage)


def _place(unit: MeasureShard) -> str:
    return f"{unit.column}/{unit.shard:06d}"


class Measurer:
    """The function that workers call. It is pickled, and opens the dataset in the worker."""

    def __init__(self, root: str):
        self.root = root
        self._opened: Dataset | None = None

    def __call__(self, unit: Unit, report: ReportProgress) -> Made:
        assert isinstance(unit, MeasureShard)
        self._opened = dataset = self._opened or Dataset(self.root)
        metrics = parse_metrics(",".join(unit.metrics))
        keys: list[str] = []
        values: list[list[float | None]] = []
        for pair in _pairs(dataset, unit.column, unit.shard, SAMPLE if metrics[0].sampled else None):
            keys.append(pair.key)
            try:
                values.append([_finite(metric.measure(pair)) for metric in metrics])
            except Exception as error:  # a metric of another package may raise anything
                raise ValueError(f"{unit.column}, key '{pair.key}': {type(error).__name__}: {error}") from error
        with dataset.storage.scratch() as scratch:
            for i, metric in enumerate(metrics):
                column = files.Measured(metric.described(), keys, [row[i] for row in values])
                files.write(dataset, scratch, unit.column, unit.shard, column)
        return Made(len(keys), stages=Stages())


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None


def _pairs(dataset: Dataset, column: str, shard: int, count: int | None) -> Iterator[Pair]:
    """The first ``count`` pictures of a shard of a column, or all, beside their clean crops."""
    reader = Files(dataset.storage)
    readers = [ColumnReader(dataset, name, reader, Entry._fields[2:]) for name in (CLEAN, column)]
    decoders = [codecs.decoder(dataset.column(name)) for name in (CLEAN, column)]
    size = len(readers[0].rows(shard))
    seed = int(dataset.plan.settings.get("seed", 0))
    for low in range(0, size if count is None else min(size, count), CHUNK):
        high = min(low + CHUNK, size if count is None else min(size, count))
        for key, _, clean, entry in read_tuples(readers, shard, low, high):
            rgb, distorted = (decode(one.data) for decode, one in zip(decoders, (clean, entry), strict=True))
            yield Pair(key, rgb, distorted, entry.data, dataset.column(column), seed)
