"""Batches of decoded pictures: read in runs, shuffled as bitstreams, decoded a whole batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distort.codecs import ColumnDecoder, decoder
from shards.access import ColumnReader, Files, same_rows
from shards.dataset import Dataset
from shards.errors import DatasetError
from train.feed.slices import Run, Slice, shuffled, size
from train.feed.teachers import CachedTeacher

CHUNK = 64  #: rows of one sequential read


class Batch(NamedTuple):
    """Some samples, side by side."""

    images: dict[str, Tensor]  #: column -> uint8 (batch, height, width, 3), RGB
    labels: Tensor  #: int64 (batch,)
    keys: list[str]
    places: Tensor  #: int64 (batch, 2): shard and row
    teacher: Tensor | None = None  #: float16 (batch, classes): cached log-probabilities on the clean crops

    def apply(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """``function`` of every tensor."""
        images = {name: function(image) for name, image in self.images.items()}
        teacher = None if self.teacher is None else function(self.teacher)
        return Batch(images, function(self.labels), self.keys, function(self.places), teacher)

    def to(self, device: torch.device) -> Batch:
        """On a device, without waiting for the copy."""
        return self.apply(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class Source:
    """What to read of which dataset; opened anew by every worker."""

    url: str
    columns: tuple[str, ...]
    teacher: str | None = None  #: fingerprint of a cached teacher
    cache: str | None = None  #: local folder for copies of remote shards


class Sample(NamedTuple):
    run: Run  #: the one sample it is
    key: str
    label: int
    bitstreams: list[bytes]
    teacher: np.ndarray | None


class Reader:
    """A source, opened: samples of runs, and batches of samples.

    ``shared``: pictures are decoded into shared memory, through which another process takes them.
    """

    def __init__(self, source: Source, shared: bool = False):
        dataset = Dataset(source.url)
        files = Files(dataset.storage, source.cache)
        self.url, self.shared = source.url, shared
        self.columns = [ColumnReader(dataset, name, files) for name in source.columns]
        self.decoders = [decoder(dataset.column(name)) for name in source.columns]
        self.teacher = None if source.teacher is None else CachedTeacher(dataset, source.teacher, files)

    def samples(self, run: Run) -> Iterator[Sample]:
        """Raises DatasetError when the columns do not hold the same keys."""
        rows = same_rows(self.columns, run.shard)
        bitstreams = [column.read(*run) for column in self.columns]
        scores = None
        if self.teacher:
            self.teacher.match(run.shard, rows.keys)
            scores = self.teacher.read(*run)
        for i, row in enumerate(range(run.lo, run.hi)):
            yield Sample(
                Run(run.shard, row, row + 1),
                rows.keys[row],
                rows.labels[row],
                [column[i] for column in bitstreams],
                None if scores is None else scores[i],
            )

    def batch(self, samples: Sequence[Sample]) -> Batch:
        """Decode. Raises DatasetError naming shard and key of what cannot be decoded."""
        images = {column.name: self._decode(column, i, samples) for i, column in enumerate(self.columns)}
        return Batch(
            images,
            torch.tensor([sample.label for sample in samples]),
            [sample.key for sample in samples],
            torch.tensor([sample.run[:2] for sample in samples]).view(-1, 2),
            None if self.teacher is None else torch.from_numpy(np.stack([s.teacher for s in samples])),
        )

    def _decode(self, column: ColumnReader, index: int, samples: Sequence[Sample]) -> Tensor:
        """uint8 (len(samples), height, width, 3), decoded in place."""
        decode = self.decoders[index]
        bitstreams = [sample.bitstreams[index] for sample in samples]
        try:
            first = decode(bitstreams[0])
            pictures = _empty((len(samples), *first.shape), self.shared)
            array = pictures.numpy()
            array[0] = first
            decoded = [first, *decode.batch(bitstreams[1:], array[1:])]
        except ValueError:
            self._find_undecodable(column, decode, index, samples)
            raise
        for rgb, sample in zip(decoded, samples, strict=True):
            if rgb.shape != first.shape:
                raise DatasetError(
                    f"{self._where(column, sample)} is {rgb.shape[1]}x{rgb.shape[0]}, others "
                    f"{first.shape[1]}x{first.shape[0]}: a batch needs pictures of one size; "
                    "distort them with a --crop"
                )
        return pictures

    def _find_undecodable(
        self, column: ColumnReader, decode: ColumnDecoder, index: int, samples: Sequence[Sample]
    ) -> None:
        for sample in samples:
            try:
                decode(sample.bitstreams[index])
            except ValueError as error:
                raise DatasetError(
                    f"{self._where(column, sample)}: {error}; 'shards verify --decode' finds all such"
                ) from None

    def _where(self, column: ColumnReader, sample: Sample) -> str:
        return f"{self.url}: column '{column.name}', shard {sample.run.shard:06d}, key '{sample.key}'"


def _empty(shape: tuple[int, ...], shared: bool) -> Tensor:
    """uint8, not initialised."""
    if not shared:
        return torch.empty(shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(int(np.prod(shape)))
    return torch.empty(0, dtype=torch.uint8).set_(storage, 0, shape)


class Stream:
    """The batches of one rank in one epoch. ``slices`` holds what each worker reads.

    ``buffer`` bitstreams are held to shuffle them, seeded by ``seed`` and the worker; 1 keeps the order. The
    first ``skip`` batches of the rank are left out without decoding them, nor reading what only they need.
    """

    def __init__(
        self, source: Source, slices: Sequence[Slice], batch: int, *,
        buffer: int = 1, seed: Sequence[int] = (), skip: int = 0,
    ):  # fmt: skip
        self.source, self.slices, self.batch = source, list(slices), batch
        self.buffer, self.seed, self.skip = buffer, tuple(seed), skip

    def part(self, worker: int, shared: bool = False) -> Iterator[Batch]:
        """The batches of one worker's slice; ``shared`` as for ``Reader``. Raises DatasetError."""
        workers = len(self.slices)
        skip = (self.skip - worker + workers - 1) // workers
        runs = [
            Run(run.shard, lo, min(lo + CHUNK, run.hi))
            for run in self.slices[worker]
            for lo in range(run.lo, run.hi, CHUNK)
        ]
        if not runs:
            return
        order = shuffled(size(runs), self.buffer, (*self.seed, worker))
        left = np.ones(len(order), bool)
        left[order[: skip * self.batch]] = False
        reader = Reader(self.source, shared)
        held: dict[int, Sample] = {}
        entered, queue = 0, iter(runs)
        for start in range(skip * self.batch, len(order), self.batch):
            wanted = order[start : start + self.batch].tolist()
            while entered <= max(wanted):
                run = next(queue)
                positions = range(entered, entered + run.samples)
                if left[entered : entered + run.samples].any():
                    held.update((p, s) for p, s in zip(positions, reader.samples(run), strict=True) if left[p])
                entered += run.samples
            yield reader.batch([held.pop(position) for position in wanted])
