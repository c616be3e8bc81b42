"""``run_shard``: the one function that engines call. It makes what is missing of one shard, and commits it."""

from __future__ import annotations

import functools
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distort import columns, crops, pictures, sources
from distort.codecs import decoder
from distort.codecs.lossless import LOSSLESS
from distort.columns import CLEAN
from distort.distortion import Distortion, DistortionError, generator
from distort.metrics import Reference
from distort.places import place
from distort.preflight import NEARLY_ALL
from shards.dataset import Dataset
from shards.plan import manifest_rows, shard_name
from shards.writer import ERRORS, ShardWriter, write_errors

HOPELESS = 100  #: bad pictures of a shard after which a run may be given up
AHEAD = 16  #: pictures on their way from a remote source
SIGN_EVERY = 60  #: seconds between signs of life
Report = Callable[[int, int], None]  #: pictures done, pictures among them that were bad


@dataclass(frozen=True)
class Job:
    """What a worker has to know; small, and the same on every machine."""

    dataset: str
    distortions: tuple[str, ...]  #: their specs, see ``Distortion.spec``
    source_root: str | None = None  #: None: only add columns, from the stored clean crops
    any_version: bool = False  #: also with other library versions than the columns were begun with
    max_bad: float = 1.0  #: share of bad pictures that is put up with, see ``preflight.NEARLY_ALL``


@dataclass(frozen=True)
class Sample:
    key: str
    label: int | None
    source: str
    clean: np.ndarray  #: uint8 (height, width, 3), read-only


@functools.lru_cache(maxsize=1)
def _open(job: Job) -> tuple[Dataset, list[Distortion]]:
    """Once per process. Raises UnfitNode on a machine that would make other bytes."""
    dataset = Dataset(job.dataset)
    dataset.storage.sweep()
    return dataset, columns.check(dataset, job.distortions, job.any_version)


def _missing(dataset: Dataset, distortions: list[str], shard: int) -> list[str]:
    """Columns whose ``shard`` is not committed. Without a clean shard, all of them have to be made."""
    names = [CLEAN, *distortions]
    missing = [name for name in names if not dataset.is_committed(name, shard)]
    return names if CLEAN in missing else missing


def run_shard(job: Job, shard: int, report: Report) -> None:
    """Make and commit every missing column of one shard.

    A picture that cannot be read goes to ``errors/`` with its reason. Anything else that fails is raised, and
    nothing of the shard is committed that was not complete. Two that make the same shard at once do no harm:
    both commit the same bytes.
    """
    dataset, distortions = _open(job)
    missing = _missing(dataset, [d.name for d in distortions], shard)
    if not missing:
        return
    store = LOSSLESS[dataset.plan.settings["clean"]]
    with dataset.storage.scratch(shard) as scratch:
        report = _with_signs(report, functools.partial(dataset.storage.announce, scratch, shard))
        writers = {
            name: ShardWriter(dataset.storage, scratch, dataset.plan.hash, dataset.column(name), shard)
            for name in missing
        }
        errors: list[dict] = []
        remake = CLEAN in missing
        samples = _crops(job, dataset, shard, errors, report) if remake else _stored(dataset, shard, report)
        for sample in samples:
            _distort(sample, dataset, distortions, store, writers)
        if remake:
            _note(dataset, scratch, shard, errors)
        for writer in writers.values():
            writer.commit()


def _with_signs(report: Report, announce: Callable[[], None]) -> Report:
    """``report`` that also shows now and then, to whoever looks at the dataset, that the shard is being made."""
    last = time.monotonic()

    def both(done: int, bad: int) -> None:
        nonlocal last
        if time.monotonic() - last > SIGN_EVERY:
            announce()
            last = time.monotonic()
        report(done, bad)

    return both


def _crops(job: Job, dataset: Dataset, shard: int, errors: list[dict], report: Report) -> Iterator[Sample]:
    """Clean crops of the source's pictures."""
    settings = dataset.plan.settings
    crop = crops.parse(settings["crop"])
    rows = manifest_rows(dataset.storage, dataset.plan, shard)
    for done, (row, read) in enumerate(_reads(job.source_root, rows), 1):
        try:
            image = pictures.load(read(), settings["exif_orientation"])
            cut = crop.apply(image, settings["seed"], row["key"])
        except pictures.BadPicture as error:
            errors.append({"source": row["source"], "reason": str(error)})
            _stop_when_hopeless(job, shard, done, errors)
        else:
            for key, clean in cut:
                yield Sample(key, row["label"], row["source"], clean)
        report(done, len(errors))


def _stop_when_hopeless(job: Job, shard: int, done: int, errors: list[dict]) -> None:
    """Raise OSError, which ends the run, when nearly all pictures of a shard are bad: the source is, then."""
    if len(errors) >= HOPELESS and len(errors) > done * max(NEARLY_ALL, job.max_bad):
        reason, count = Counter(error["reason"] for error in errors).most_common(1)[0]
        raise OSError(
            f"{len(errors)} of the first {done} pictures of shard {shard:06d} cannot be read, {count} of them: "
            f"{reason}. The shard was not written; mend the source, or give --max-bad 1 to go on all the same"
        )


def _reads(root: str, rows: list[dict]) -> Iterator[tuple[dict, Callable[[], bytes]]]:
    """Every row with a function that reads its picture; from an object store, some are on their way already."""
    if not place(root).remote:
        yield from ((row, functools.partial(_read, root, row)) for row in rows)
        return
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting = deque()
        for row in rows:
            waiting.append((row, pool.submit(_read, root, row).result))
            if len(waiting) == AHEAD:
                yield waiting.popleft()
        yield from waiting


def _read(root: str, row: dict) -> bytes:
    return sources.read(root, row["source"], row["offset"], row["size"])


def _stored(dataset: Dataset, shard: int, report: Report) -> Iterator[Sample]:
    """Clean crops that the dataset has already."""
    rows = dataset.parquet(CLEAN, shard, ["source"])[0]["source"].to_pylist()
    decode = decoder(dataset.column(CLEAN))
    for done, ((key, label, entry), source) in enumerate(
        zip(dataset.read(CLEAN, shards=[shard]), rows, strict=True), 1
    ):
        clean = decode(entry.data)
        clean.flags.writeable = False
        yield Sample(key, label, source, clean)
        if done % dataset.plan.crops == 0:
            report(done // dataset.plan.crops, 0)


def _distort(sample: Sample, dataset: Dataset, distortions, store, writers: dict[str, ShardWriter]) -> None:
    settings = dataset.plan.settings
    height, width, _ = sample.clean.shape
    about = {"width": width, "height": height}
    if CLEAN in writers:
        data = store.encode(sample.clean)
        writers[CLEAN].add(
            sample.key, sample.label, sample.source, data, store.extension,
            **about, bytes=None, psnr=None, ssim=1.0,
        )  # fmt: skip
    reference = Reference(sample.clean, settings["ssim"])
    for distortion in distortions:
        if distortion.name not in writers:
            continue
        rng = generator(settings["seed"], sample.key, distortion.name)
        try:
            made = distortion.apply(sample.clean, store, rng)
            psnr, ssim = reference.psnr(made.rgb), reference.ssim(made.rgb)
        except (ValueError, RuntimeError, OSError) as error:
            raise DistortionError(
                f"{distortion.name} failed on key '{sample.key}' ({sample.source}, {width}x{height}): {error}"
            ) from error
        writers[distortion.name].add(
            sample.key, sample.label, sample.source, made.stored, distortion.extension(store),
            **about,
            bytes=made.bytes,
            psnr=None if math.isinf(psnr) else round(psnr, 6),
            ssim=None if ssim is None else round(ssim, 6),
        )  # fmt: skip


def _note(dataset: Dataset, scratch: Path, shard: int, errors: list[dict]) -> None:
    name = shard_name(ERRORS, shard, "parquet")
    if errors:
        write_errors(dataset.storage, scratch, shard, errors)
    elif dataset.storage.exists(name):  # left by an attempt that did not commit
        dataset.storage.remove(name)
