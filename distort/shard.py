"""What workers run: one ``ShardMaker`` per process handles all units, from single pictures to whole shards."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from distort import columns
from distort.columns import CLEAN
from distort.engines.base import ReportProgress, Unit
from distort.making import PLACES, Maker, Record
from distort.pictures import BadPicture
from distort.preflight import hopeless
from distort.stages import Stages
from distort.units import MARK_EVERY, CommitColumn, Made, MakePictures, OpenShard, ShardContents, WholeShard
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.parts import PartWriter, read_part
from shards.plan import manifest_rows, shard_name
from shards.writer import ERRORS, ShardWriter, write_errors


@dataclass(frozen=True)
class ShardJob:
    """The job description sent to workers; small, and the same on every machine."""

    dataset: str
    distortions: tuple[str, ...]  #: ``Distortion.spec`` of each
    source_root: str | None = None  #: None: add columns from the stored clean crops
    any_version: bool = False  #: accept library versions other than those in ``column.json``
    max_bad: float = 1.0  #: tolerated share of bad pictures, see ``preflight.NEARLY_ALL``


def run_shard(job: ShardJob, shard: int, report: ReportProgress) -> None:
    """Make and commit all missing columns of one shard, in this process."""
    ShardMaker(job)(WholeShard(shard), report)


class ShardMaker:
    """The function that workers call for each unit. It is pickled, and opens the dataset in the worker.

    A picture that cannot be read goes to ``errors/`` with its reason. Every other failure is raised, and
    incomplete columns are not committed. Two workers may make the same shard at once: both commit the same bytes.
    """

    def __init__(self, job: ShardJob):
        self.job = job
        self._opened: tuple[Dataset, Maker] | None = None

    def _open(self) -> tuple[Dataset, Maker]:
        """Open dataset and codecs, once per process. Raises UnfitNode if this machine would make other bytes."""
        if self._opened is None:
            dataset = Dataset(self.job.dataset)
            distortions = columns.check(dataset, self.job.distortions, self.job.any_version)
            self._opened = dataset, Maker(dataset, distortions, self.job.source_root)
        return self._opened

    def __call__(self, unit: Unit, report: ReportProgress) -> ShardContents | Made | None:
        dataset, maker = self._open()
        maker.stages = stages = Stages()
        match unit:
            case WholeShard():
                return self._whole(unit.shard, report)
            case OpenShard():
                return self._contents(unit.shard)
            case MakePictures():
                return self._make(unit, report)
            case CommitColumn():
                _publish(dataset, unit, (unit.column,), _from_parts(unit), stages)
                return Made(stages=stages)
        raise TypeError(f"no such unit: {unit}")

    def _contents(self, shard: int) -> ShardContents | None:
        """The missing columns of ``shard`` and its pictures. Without clean crops, all columns count as missing."""
        dataset, maker = self._open()
        names = [CLEAN, *(distortion.name for distortion in maker.distortions)]
        missing = [name for name in names if not dataset.is_committed(name, shard)]
        if not missing:
            return None
        if CLEAN in missing:
            return ShardContents(tuple(names), manifest_rows(dataset.storage, dataset.plan, shard), stored=False)
        if maker.on_source(missing):
            kept = set(dataset.parquet(CLEAN, shard, ["source"])[0]["source"].to_pylist())
            rows = manifest_rows(dataset.storage, dataset.plan, shard)
            return ShardContents(tuple(missing), [row for row in rows if row["source"] in kept], stored=False)
        return ShardContents(tuple(missing), dataset.parquet(CLEAN, shard, PLACES)[0].to_pylist(), stored=True)

    def _make(self, unit: MakePictures, report: ReportProgress) -> Made:
        _, maker = self._open()
        path = unit.scratch / f"{unit.first:06d}-{secrets.token_hex(4)}.part"
        errors: list[dict] = []
        with PartWriter(path) as part:
            for column, record, data in self._records(unit, errors, report):
                with maker.stages.time("handing over"):
                    part.add(unit.columns.index(column), record, data)
        return Made(len(unit.rows), errors, path, maker.stages)

    def _whole(self, shard: int, report: ReportProgress) -> Made:
        dataset, maker = self._open()
        if (contents := self._contents(shard)) is None:
            return Made()
        crops = dataset.plan.crops if contents.stored else 1
        errors: list[dict] = []
        with dataset.storage.scratch(shard) as scratch:
            unit = MakePictures(shard, scratch, contents.columns, 0, contents.rows)
            marked = time.monotonic()

            def watched(done: int, bad: int) -> None:
                nonlocal marked
                if time.monotonic() - marked > MARK_EVERY:
                    marked = time.monotonic()
                    dataset.storage.announce(scratch, shard)
                report(done // crops, bad)

            _publish(dataset, unit, unit.columns, self._records(unit, errors, watched), maker.stages)
        return Made(len(contents.rows) // crops, errors, None, maker.stages)

    def _records(self, unit: MakePictures, errors: list[dict], report: ReportProgress) -> Iterator[Record]:
        """The records of each picture in turn. Bad pictures are added to ``errors``."""
        for done, records in enumerate(self._pictures(unit, errors), 1):
            yield from records
            report(done, len(errors))
            if reason := hopeless(unit.shard, done, errors, self.job.max_bad):
                raise OSError(reason)

    def _pictures(self, unit: MakePictures, errors: list[dict]) -> Iterator[list[Record]]:
        _, maker = self._open()
        if CLEAN not in unit.columns and not maker.on_source(unit.columns):
            yield from maker.from_clean(unit.shard, unit.rows, unit.columns)
            return
        for row, read in maker.reads(unit.rows):
            try:
                if unit.died:
                    raise BadPicture(unit.died)
                records = maker.from_source(row, read, unit.columns)
            except BadPicture as error:
                if CLEAN not in unit.columns:
                    raise DatasetError(
                        f"{row['source']} has a clean crop, and cannot be used now: {error}"
                    ) from None
                errors.append({"source": row["source"], "reason": str(error)})
                records = [(CLEAN, {"error": errors[-1]}, b"")]
            yield records


def _publish(
    dataset: Dataset,
    unit: MakePictures | CommitColumn,
    columns: tuple[str, ...],
    records: Iterable[Record],
    stages: Stages,
) -> None:
    """Write the tars of a shard's ``columns`` and commit them with their Parquet files."""
    writers = {
        name: ShardWriter(dataset.storage, unit.scratch, dataset.plan.hash, dataset.column(name), unit.shard)
        for name in columns
    }
    errors = []
    for column, record, data in records:
        if "error" in record:
            errors.append(record["error"])
            continue
        with stages.time("tar"):
            writers[column].add(data=data, **record)
    with stages.time("statistics"):
        if CLEAN in writers:
            _note(dataset, unit.scratch, unit.shard, errors)
        for writer in writers.values():
            writer.commit()


def _from_parts(unit: CommitColumn) -> Iterator[Record]:
    number = unit.columns.index(unit.column)
    for part in unit.parts:
        for _, record, data in read_part(part, {number}):
            yield unit.column, record, data


def _note(dataset: Dataset, scratch: Path, shard: int, errors: list[dict]) -> None:
    name = shard_name(ERRORS, shard, "parquet")
    if errors:
        write_errors(dataset.storage, scratch, shard, errors)
    elif dataset.storage.exists(name):  # from an attempt that did not commit
        dataset.storage.remove(name)
