"""Estimates time, disk and memory of a run by making a few of its pictures."""

from __future__ import annotations

import os
import resource
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from distort import crops, pictures, sources
from distort.codecs import UnsupportedPicture
from distort.codecs.lossless import LOSSLESS
from distort.columns import CLEAN
from distort.distortion import Distortion, generator, parse
from distort.engines.base import ReportProgress, Returned, Unit
from distort.engines.local import Local
from distort.metrics import Reference
from distort.pictures import BadPicture
from shards.console import plural, size, table
from shards.plan import Plan

TAR_BLOCK = 512
ROW = 100  #: bytes of a sample's row in a Parquet file


@dataclass(frozen=True)
class PerSample:
    """Means per sample (crop) over the measured pictures."""

    pictures: int  #: number of measured pictures
    reading: float  #: seconds of one thread to read, decode and crop a sample
    seconds: dict[str, float]  #: column -> seconds of one thread, metrics included
    stored: dict[str, float]  #: column -> bytes on disk, headers included
    memory: int  #: bytes that a worker needs at least

    @property
    def per_sample(self) -> float:
        return self.reading + sum(self.seconds.values())


class MeasureRows(Unit):
    """The manifest rows of the pictures to measure."""

    shard = 0

    def __init__(self, rows: list[dict]):
        self.rows = rows


@dataclass(frozen=True)
class Measurement:
    """The function that the worker calls; picklable."""

    root: str
    plan: Plan
    specs: tuple[str, ...]
    budget: float

    def __call__(self, unit: Unit, report: ReportProgress) -> PerSample | None:
        assert isinstance(unit, MeasureRows)
        return _measure(self.root, self.plan, unit.rows, [parse(spec) for spec in self.specs], self.budget)


def measure(
    root: str, plan: Plan, rows: list[dict], distortions: list[Distortion], budget: float
) -> PerSample | None:
    """Make the columns of some pictures of the manifest, for at most ``budget`` seconds, and discard them.

    This happens in a worker process, whose memory is measured and whose crash does no harm. The first picture is a
    warm-up. Returns None when fewer than two pictures can be read.
    """
    engine = Local(Measurement(root, plan, tuple(d.spec for d in distortions), budget), workers=1)
    try:
        engine.start(MeasureRows(rows))
        while not (ended := list(engine.wait())):
            pass
        ((_, outcome),) = ended
        return outcome.value if isinstance(outcome, Returned) else None
    finally:
        engine.close()


def _measure(
    root: str, plan: Plan, rows: list[dict], distortions: list[Distortion], budget: float
) -> PerSample | None:
    start, samples, used = time.monotonic(), 0, -1
    names = [CLEAN, *(d.name for d in distortions)]
    reading, seconds, stored = 0.0, dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for row in rows:
        try:
            begun = time.perf_counter()  # includes waiting for the disk
            image, cut = _crop(root, plan, row)
            cut = cut[: 1 if used < 0 else None]
            took = time.perf_counter() - begun
            made = [_make(clean, key, plan, distortions, image) for key, clean in cut]
        except (BadPicture, UnsupportedPicture):
            continue
        used += 1
        if used:
            samples += len(cut)
            reading += took
            for each in made:
                for name, (cpu, length) in each.items():
                    seconds[name] += cpu
                    stored[name] += _on_disk(length, row["label"] is not None)
        if used and time.monotonic() - start > budget:
            break
    if samples == 0:
        return None
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return PerSample(
        used,
        reading / samples,
        {name: value / samples for name, value in seconds.items()},
        {name: value / samples for name, value in stored.items()},
        memory,
    )


def _crop(root: str, plan: Plan, row: dict) -> tuple[Image.Image, list[tuple[str, np.ndarray]]]:
    """The whole picture and its crops."""
    data = sources.read(root, row["source"], row["offset"], row["size"])
    image = pictures.load(data, plan.settings["exif_orientation"])
    return image, crops.parse(plan.settings["crop"]).apply(image, plan.settings["seed"], row["key"])


def _make(
    clean: np.ndarray, key: str, plan: Plan, distortions: list[Distortion], image: Image.Image
) -> dict[str, tuple[float, int]]:
    """Column -> CPU seconds and stored bytes."""
    store = LOSSLESS[plan.settings["clean"]]
    begun = time.process_time()
    length = len(store.encode(clean))
    reference = Reference(clean, plan.settings["ssim"])
    made = {CLEAN: (time.process_time() - begun, length)}
    for distortion in distortions:
        begun = time.process_time()
        rng = generator(plan.settings["seed"], key, distortion.name)
        given = np.asarray(image) if distortion.on_source else clean
        cut = crops.parse(plan.settings["crop"]).again(plan.settings["seed"], key)
        distorted = distortion.apply(given, store, rng, cut=cut)
        reference.psnr(distorted.rgb), reference.ssim(distorted.rgb)
        made[distortion.name] = time.process_time() - begun, len(distorted.stored)
    return made


def _on_disk(length: int, labelled: bool) -> int:
    """Bytes of a sample in tar and Parquet file: picture, ``.json`` and ``.cls`` members, each with a header."""
    return TAR_BLOCK + -(-length // TAR_BLOCK) * TAR_BLOCK + (2 + 2 * labelled) * TAR_BLOCK + ROW


def describe(estimate: PerSample, samples: int, workers: int, dataset: str) -> str:
    """One line: time, disk and memory for ``samples`` crops made by ``workers``; a second one if disk is short."""
    disk = samples * sum(estimate.stored.values())
    text = (
        f"about {tqdm.format_interval(samples * estimate.per_sample / workers)} with {plural(workers, 'worker')} "
        f"({1000 * estimate.per_sample:.1f} ms per sample), {size(disk)} on disk, "
        f"{size(estimate.memory)} of memory per worker"
    )
    free = _free(dataset)
    return text if free is None or free > disk else f"{text}\nonly {size(free)} are free at {dataset}"


def by_column(estimate: PerSample) -> str:
    """A table of the columns: milliseconds and bytes per sample, and shares of the time."""
    rows = [
        ["reading, crop", f"{1000 * estimate.reading:.1f}", "", f"{estimate.reading / estimate.per_sample:.0%}"]
    ]
    rows += [
        [name, f"{1000 * cpu:.1f}", size(estimate.stored[name]), f"{cpu / estimate.per_sample:.0%}"]
        for name, cpu in estimate.seconds.items()
    ]
    return table(["column", "ms per sample", "on disk", "time"], rows)


def _free(dataset: str) -> int | None:
    """Free bytes on the disk of a local dataset, which need not exist yet; None for one at a url."""
    if "://" in dataset:
        return None
    folder = Path(os.path.abspath(dataset))
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
