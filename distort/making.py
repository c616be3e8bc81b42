"""Makes the records that every column stores for one picture."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from distort import crops, pictures, sources
from distort.codecs import UnsupportedPicture, decoder
from distort.codecs.lossless import LOSSLESS
from distort.columns import CLEAN
from distort.distortion import Distortion, DistortionError, generator
from distort.metrics import Reference
from distort.pictures import BadPicture
from distort.places import place
from distort.stages import Stages
from shards.dataset import Dataset
from shards.files import Files, Stored, again
from shards.plan import column_folder, shard_name

AHEAD = 16  #: pictures being fetched from a remote source at a time
Record = tuple[str, dict, bytes]  #: column, and what ``ShardWriter.add`` takes for it
PLACES = ["key", "label", "source", "offset", "size"]  #: columns of the clean rows that ``stored`` needs


@dataclass(frozen=True)
class Sample:
    """A clean crop to be distorted."""

    key: str
    label: int | None
    source: str
    clean: np.ndarray  #: uint8 (height, width, 3), read-only
    whole: np.ndarray | None = None  #: the source picture, for distortions of it; uint8, read-only


class Maker:
    """Makes the samples of a dataset's columns. ``stages`` sums the time of each stage."""

    def __init__(self, dataset: Dataset, distortions: list[Distortion], source_root: str | None):
        self.dataset, self.distortions, self.root = dataset, distortions, source_root
        self.settings = dataset.plan.settings
        self.crop = crops.parse(self.settings["crop"])
        self.store = LOSSLESS[self.settings["clean"]]
        self.files = Files(dataset.storage)
        self.stages = Stages()

    def on_source(self, columns: Collection[str]) -> bool:
        """Whether one of ``columns`` is made of the source pictures rather than of the clean crops."""
        return any(distortion.on_source and distortion.name in columns for distortion in self.distortions)

    def from_source(self, row: dict, read: Callable[[], bytes], columns: tuple[str, ...]) -> list[Record]:
        """The records of one picture's samples. Raises BadPicture, also for one that a codec cannot encode."""
        with self.stages.time("read"):
            data = read()
        with self.stages.time("decode"):
            image = pictures.load(data, self.settings["exif_orientation"])
        with self.stages.time("crop"):
            cut = self.crop.apply(image, self.settings["seed"], row["key"])
        records: list[tuple[str, dict, bytes]] = []
        whole = np.asarray(image) if self.on_source(columns) else None
        for key, clean in cut:
            try:
                records += self.records(Sample(key, row["label"], row["source"], clean, whole), columns)
            except UnsupportedPicture as error:
                raise BadPicture(str(error)) from None
        return records

    def from_clean(self, shard: int, rows: list[dict], columns: tuple[str, ...]) -> Iterator[list[Record]]:
        """The records of samples, made from their stored clean crops. Raises DatasetError, DistortionError."""
        mark = self.dataset.parquet(CLEAN, shard, [])[1]
        name = shard_name(column_folder(CLEAN), shard, "tar")
        tar = Stored(name, mark.tar_size, mark.tar_sha256, again=again(CLEAN))
        decode = decoder(self.dataset.column(CLEAN))
        for row in rows:
            with self.stages.time("read"):
                data = self.files.read(tar, row["offset"], row["offset"] + row["size"])
            with self.stages.time("decode"):
                clean = decode(data)
            clean.flags.writeable = False
            sample = Sample(row["key"], row["label"], row["source"], clean)
            try:
                yield list(self.records(sample, columns))
            except UnsupportedPicture as error:
                raise DistortionError(
                    f"key '{sample.key}' ({sample.source}) cannot be encoded: {error}; make a new dataset with "
                    "this distortion, which then leaves the picture out"
                ) from None

    def records(self, sample: Sample, columns: tuple[str, ...]) -> Iterator[Record]:
        """The sample's record for each of ``columns``. Raises DistortionError, UnsupportedPicture."""
        if CLEAN in columns:
            with self.stages.time("clean"):
                data = self.store.encode(sample.clean)
            yield CLEAN, self._record(sample, self.store.extension, None, None, 1.0), data
        wanted = [distortion for distortion in self.distortions if distortion.name in columns]
        if not wanted:
            return
        with self.stages.time("SSIM"):
            reference = Reference(sample.clean, self.settings["ssim"])
        for distortion in wanted:
            yield self._distort(distortion, sample, reference)

    def _distort(self, distortion: Distortion, sample: Sample, reference: Reference) -> Record:
        seed = self.settings["seed"], sample.key, distortion.name
        rng = generator(*seed) if distortion.is_random else None
        try:
            if distortion.on_source:
                assert sample.whole is not None  # ShardMaker reads the source for such a column
                cut = self.crop.again(self.settings["seed"], sample.key)
                made = distortion.apply(sample.whole, self.store, rng, self.stages, cut)
            else:
                made = distortion.apply(sample.clean, self.store, rng, self.stages)
            with self.stages.time("PSNR"):
                psnr = reference.psnr(made.rgb)
            with self.stages.time("SSIM"):
                ssim = reference.ssim(made.rgb)
        except UnsupportedPicture as error:
            raise UnsupportedPicture(f"{distortion.name}: {error}") from None
        except (ValueError, RuntimeError, OSError) as error:
            height, width, _ = sample.clean.shape
            raise DistortionError(
                f"{distortion.name} failed on key '{sample.key}' ({sample.source}, {width}x{height}): {error}"
            ) from error
        record = self._record(
            sample, distortion.extension(self.store), made.bytes, None if math.isinf(psnr) else round(psnr, 6),
            None if ssim is None else round(ssim, 6), made.pixels,
        )  # fmt: skip
        return distortion.name, record, made.stored

    def _record(
        self, sample: Sample, extension: str, bytes: int | None, psnr: float | None, ssim: float | None,
        pixels: int | None = None,
    ) -> dict:  # fmt: skip
        height, width, _ = sample.clean.shape
        return {
            "key": sample.key, "label": sample.label, "source": sample.source, "extension": extension,
            "width": width, "height": height, "bytes": bytes, "psnr": psnr, "ssim": ssim, "pixels": pixels,
        }  # fmt: skip

    def reads(self, rows: list[dict]) -> Iterator[tuple[dict, Callable[[], bytes]]]:
        """Each row with a function that returns its picture's bytes. From an object store they are prefetched."""
        if not place(self.root).remote:
            yield from ((row, partial(self._read, row)) for row in rows)
            return
        with ThreadPoolExecutor(AHEAD) as pool:
            waiting: deque = deque()
            for row in rows:
                waiting.append((row, pool.submit(self._read, row).result))
                if len(waiting) == AHEAD:
                    yield waiting.popleft()
            yield from waiting

    def _read(self, row: dict) -> bytes:
        assert self.root is not None  # only called when the job has a source
        return sources.read(self.root, row["source"], row["offset"], row["size"])
