"""The Python API of ``distort run`` and ``distort add``; the commands are thin layers over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa

from distort import classes, columns, crops, estimate, job, metrics, preflight, retry, sources
from distort.codecs.lossless import LOSSLESS
from distort.distortion import Distortion, parse, parse_list, require_crops_only
from distort.engines.local import cores
from distort.job import Summary, Where
from distort.planning import make_plan
from shards.console import plural
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import Plan, manifest_rows

LONG = 20_000  #: runs with at least this many pictures times columns print an estimate first

Say = Callable[[str], None]  #: receives notes and warnings
Path = str | os.PathLike[str]


def run(
    source: Path,
    dataset: Path,
    *,
    distortions: str | Iterable[str],
    crop: str = "paper",
    split: str | None = None,
    classes: Path | None = None,
    labels: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    keep_order: bool = False,
    shard_size: int = 1000,
    clean: str = next(iter(LOSSLESS)),
    ssim: str = "uniform",
    exif_orientation: bool = False,
    max_bad: float = 0.001,
    retry: bool = False,
    planned: bool = False,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    part: tuple[int, int] = (1, 1),
    any_version: bool = False,
    say: Say | None = None,
) -> Summary:
    """Make a dataset from the pictures of ``source``, or resume one, as ``distort run`` does.

    ``distortions`` are names and presets, in a list or separated by commas. ``workers`` defaults to the cores that
    this process may use. ``part`` (k, n) makes only shards k, k + n, …, counted from 1. The other arguments are
    the command's options of the same name, see ``distort run --help``. ``say`` is called with each message;
    without it nothing is shown.

    >>> import distort
    >>> distort.run("imagenet/val", "val", distortions=["jpeg-10", "webp-20"], workers=8).shards
    50

    Raises ValueError for invalid arguments and for a plan or column that differs from the dataset's,
    ``Incomplete`` (also a ValueError) when shards failed or too many pictures are bad, and OSError when the
    storage or the engine fails. Finished shards are always kept.
    """
    options = Planning(
        os.fspath(source), crop, split, _text(classes), _text(labels), limit, seed, keep_order, shard_size, clean,
        ssim, exif_orientation, max_bad,
    )  # fmt: skip
    where = Where(engine, workers, address)
    where.check()
    prepared = prepare_run(
        dataset, distortions, options, planned=planned, again=retry, part=part, any_version=any_version, say=say
    )
    return _make(prepared, where, part, any_version, max_bad, say)


def add(
    dataset: Path,
    *,
    distortions: str | Iterable[str],
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    part: tuple[int, int] = (1, 1),
    any_version: bool = False,
    say: Say | None = None,
) -> Summary:
    """Add columns to a dataset from its stored clean crops, as ``distort add`` does. See ``run``."""
    where = Where(engine, workers, address)
    where.check()
    prepared = prepare_add(dataset, distortions, any_version=any_version)
    return _make(prepared, where, part, any_version, 1.0, say)


class Incomplete(DatasetError):
    """Shards failed, or too many pictures are bad; ``summary`` says what was made."""

    def __init__(self, message: str, summary: Summary):
        super().__init__(message)
        self.summary = summary


@dataclass(frozen=True)
class Planning:
    """The options of ``distort run`` that determine the plan, under the same names."""

    source: str
    crop: str
    split: str | None
    classes: str | None
    labels: str | None
    limit: int | None
    seed: int
    keep_order: bool
    shard_size: int
    clean: str
    ssim: str
    exif_orientation: bool
    max_bad: float


@dataclass(frozen=True)
class Prepared:
    """A dataset and the columns to make, checked against what exists."""

    dataset: Dataset
    distortions: list[Distortion]
    root: str | None  #: of the source; None: add columns from the stored clean crops

    def unfinished(self, part: tuple[int, int] = (1, 1)) -> list[int]:
        mine = range(part[0] - 1, self.dataset.plan.shards, part[1])
        return job.unfinished(self.dataset, [d.name for d in self.distortions], mine, only_add=self.root is None)


def prepare_run(
    dataset: Path,
    distortions: str | Iterable[str],
    options: Planning,
    *,
    planned: bool = False,
    again: bool = False,
    part: tuple[int, int] = (1, 1),
    any_version: bool = False,
    say: Say | None = None,
) -> Prepared:
    """Write the plan of a dataset, or check that it has the same, and declare its columns."""
    wanted = _parse(distortions)
    if planned:
        there = job.reopen(os.fspath(dataset), options.source, options.split)
        root = sources.root_of(options.source, options.split)
    else:
        job.require_apart(os.fspath(dataset))
        root, plan, manifest = plan_source(options, say)
        there = job.create(os.fspath(dataset), plan, manifest)
    mended: list[int] = []
    if again:
        known = {columns.CLEAN, *(d.name for d in wanted)}
        every = wanted + [parse(name) for name in there.columns if name not in known]
        mended = retry.mended(there, root, every, range(part[0] - 1, there.plan.shards, part[1]))
        wanted = every if mended else wanted
    columns.declare(there, wanted, any_version, again=bool(mended))
    retry.take_back(there, mended)
    return Prepared(there, wanted, root)


def prepare_add(
    dataset: Path, distortions: str | Iterable[str], *, any_version: bool = False, look_only: bool = False
) -> Prepared:
    """Declare columns of a dataset whose clean crops are complete; with ``look_only``, write nothing."""
    wanted = _parse(distortions)
    require_crops_only(wanted, "a dataset has")
    there = Dataset(dataset)
    there.require_complete(columns.CLEAN)
    if not look_only:
        there.storage.sweep()
        columns.declare(there, wanted, any_version)
    return Prepared(there, wanted, None)


def plan_source(options: Planning, say: Say | None = None) -> tuple[str, Plan, pa.Table]:
    """Root of the source, plan and manifest. Reports what the source holds; writes nothing."""
    say = say or _nothing
    metrics.require(options.ssim)
    listing = sources.list_pictures(options.source, options.split, options.labels)
    if options.classes:
        listing = classes.relabel(listing, classes.read(options.classes))
    for line in preflight.describe(listing):
        say(line)
    plan, manifest = make_plan(
        listing,
        crops.parse(options.crop),
        settings={"clean": options.clean, "ssim": options.ssim, "exif_orientation": options.exif_orientation},
        seed=options.seed,
        shard_size=options.shard_size,
        keep_order=options.keep_order,
        limit=options.limit,
    )
    for line in preflight.describe_crops(plan):
        say(line)
    say(preflight.refuse_unreadable(listing, plan, preflight.sample(manifest), options.max_bad))
    return listing.root, plan, manifest


def dry_run(
    dataset: Path,
    distortions: str | Iterable[str],
    options: Planning,
    *,
    workers: int | None = None,
    part: tuple[int, int] = (1, 1),
    any_version: bool = False,
    say: Say | None = None,
) -> str:
    """All messages and checks of a run before it writes, and an estimate of time, disk and memory."""
    wanted = _parse(distortions)
    job.require_apart(os.fspath(dataset))
    root, plan, manifest = plan_source(options, say)
    k, n = part
    todo = list(range(k - 1, plan.shards, n))
    if there := job.find(os.fspath(dataset), plan, manifest):
        known = [d for d in wanted if d.name in there.columns]
        columns.check(there, tuple(d.spec for d in known), any_version)
        todo = job.unfinished(there, [d.name for d in wanted], range(k - 1, plan.shards, n), only_add=False)
    count = sum(map(plan.pictures_of, todo))
    lines = [
        f"{len(todo)} of {plural(plan.shards, 'shard')} to make, {plural(count, 'picture')}, "
        f"{len(wanted) + 1} columns"
    ]
    measured = estimate.measure(root, plan, preflight.sample(manifest, 200), wanted, budget=5)
    if measured:
        lines += [
            estimate.describe(measured, count * plan.crops, workers or cores(), os.fspath(dataset)),
            f"\n{estimate.by_column(measured)}\n\n"
            f"measured on {plural(measured.pictures, 'picture')}; nothing was written",
        ]
    return "\n".join(lines)


def _make(
    prepared: Prepared, where: Where, part: tuple[int, int], any_version: bool, max_bad: float, say: Say | None
) -> Summary:
    dataset, wanted, root = prepared.dataset, prepared.distortions, prepared.root
    tell = say or _nothing
    if part[0] > dataset.plan.shards:
        tell(f"--part {part[0]}/{part[1]} has no shards: {dataset.storage.url} has {dataset.plan.shards}")
    if say and root and where.engine == "local":
        _say_what_it_takes(prepared, root, where, part, say)
    summary = job.execute(dataset, wanted, root, where, part, any_version, max_bad, quiet=say is None)
    for shard, reason in sorted(summary.failed.items()):
        tell(f"shard {shard:06d} failed: {reason}")
    if summary.failed:
        shard, reason = min(summary.failed.items())
        first = "" if say else f"; shard {shard:06d}: {reason}"
        raise Incomplete(
            f"{plural(len(summary.failed), 'shard')} failed: remove the cause, then repeat the command{first}",
            summary,
        )
    if summary.bad:
        tell(
            f"{plural(summary.bad, 'picture')} could not be read; 'shards errors {dataset.storage.url}' lists them"
        )
    if summary.bad_fraction > max_bad:
        raise Incomplete(
            f"{summary.bad_fraction:.2%} of the pictures could not be read, more than --max-bad {max_bad:.2%}",
            summary,
        )
    return summary


def _say_what_it_takes(prepared: Prepared, root: str, where: Where, part: tuple[int, int], say: Say) -> None:
    """Before a long run, print an estimate, measured on pictures of its first shard for about a second."""
    plan, storage = prepared.dataset.plan, prepared.dataset.storage
    todo = prepared.unfinished(part)
    count = sum(map(plan.pictures_of, todo))
    if count * (len(prepared.distortions) + 1) < LONG:
        return
    rows = manifest_rows(storage, plan, todo[0])
    if measured := estimate.measure(root, plan, rows, prepared.distortions, budget=1):
        line = estimate.describe(measured, count * plan.crops, where.workers or cores(), storage.url)
        say(f"{plural(len(todo), 'shard')} to make, {plural(count, 'picture')}: {line}")


def _parse(distortions: str | Iterable[str]) -> list[Distortion]:
    return parse_list(distortions if isinstance(distortions, str) else ",".join(distortions))


def _text(path: Path | None) -> str | None:
    return None if path is None else os.fspath(path)


def _nothing(text: str) -> None:
    pass
