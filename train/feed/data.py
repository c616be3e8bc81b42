"""Batches of decoded pictures: bitstreams are read in runs and decoded batch by batch into reused memory."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from operator import attrgetter
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from distort.codecs import ColumnDecoder, decoder, get
from distort.codecs.headers import UNKNOWN, Header, header_of, read_header
from distort.distortion import Distortion, generator
from shards.access import ColumnReader, Rows, same_rows
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.files import Files
from train.feed.slices import ROW_BITS, Read, reads, split_place
from train.feed.teachers import CachedTeacher
from train.methods.reads import CLEAN

if TYPE_CHECKING:
    from train.methods.reads import Mixture

CHUNK = 64  #: rows of one sequential read
#: Concurrent reads of a remote dataset in each worker, and how many reads before its first one the rows of a shard
#: are fetched, which takes several requests one after another.
UNDER_WAY, ROWS_AHEAD = 16, 48
#: A batch begins at an address of 32 n + 16. At multiples of 32 libjpeg-turbo's writes bypass the caches, and then
#: decoding a 224x224 picture of JPEG-10 takes 1.3 times as long (benchmarks/loader.py measures it).
ALIGNMENT, OFFSET = 32, 16
PLACE, SHAPE = attrgetter("place"), attrgetter("shape")

Allocate = Callable[[int], np.ndarray]  #: gives so many bytes of memory, or more: uint8 (bytes,)
Room = Mapping[str, np.ndarray]  #: picture -> uint8 (batch, height, width, 3), to decode into


class Batch(NamedTuple):
    """Some samples, side by side.

    A feed reuses the pictures' memory for later batches: use a batch before taking the next.
    """

    images: dict[str, Tensor]  #: column or mixture -> uint8 (batch, height, width, 3), RGB
    labels: Tensor  #: int64 (batch,)
    keys: list[str]
    places: Tensor  #: int64 (batch, 2): shard and row
    teacher: Tensor | None = None  #: float16 (batch, classes): cached log-probabilities on the clean crops
    drawn: Mapping[str, Tensor] = {}  #: mixture -> int64 (batch,): index of the column that each picture is of
    headers: Mapping[str, list[Header]] = {}  #: column or mixture -> headers of the bitstreams, on request

    def apply(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """``function`` of every tensor."""
        return self._replace(
            images={name: function(image) for name, image in self.images.items()},
            labels=function(self.labels),
            places=function(self.places),
            teacher=None if self.teacher is None else function(self.teacher),
            drawn={name: function(index) for name, index in self.drawn.items()},
        )

    def to(self, device: torch.device) -> Batch:
        """On a device, without waiting for the copy."""
        return self.apply(lambda tensor: tensor.to(device, non_blocking=True))


def _new_memory(size: int) -> np.ndarray:
    return np.empty(size, np.uint8)


@dataclass(frozen=True)
class Source:
    """A dataset and what to read of it; every worker opens it for itself."""

    url: str
    columns: tuple[str | Mixture, ...]  #: the pictures of a sample
    teacher: str | None = None  #: fingerprint of a cached teacher
    cache: str | None = None  #: local folder for copies of remote shards
    headers: bool = False  #: whether batches hold the bitstreams' headers


class EncodedSample(NamedTuple):
    """One sample before it is decoded."""

    place: int
    key: str
    label: int
    bitstreams: tuple[bytes, ...]  #: one for each picture
    drawn: tuple[int, ...]  #: and the index of its column
    teacher: np.ndarray | None


@dataclass
class PictureReader:
    """One of the pictures of a sample: a column, or a mixture of several."""

    name: str
    columns: list[ColumnReader]
    decoders: list[Decode]
    mixture: Mixture | None = None

    def draw(self, seed: int, epoch: int, keys: Sequence[str]) -> list[int]:
        """Index of the column to read for each key."""
        if not self.mixture:
            return [0] * len(keys)
        return [self.mixture.draw(seed, epoch, key) for key in keys]

    def bitstreams(self, shard: int, rows: Sequence[int], drawn: Sequence[int]) -> list[bytes]:
        """One for each row, of the column that was drawn for it."""
        if len(self.columns) == 1:
            return self.columns[0].pick(shard, rows)
        found: dict[int, bytes] = {}
        for i, column in enumerate(self.columns):
            mine = [row for row, index in zip(rows, drawn, strict=True) if index == i]
            found.update(zip(mine, column.pick(shard, mine), strict=True))
        return [found[row] for row in rows]

    def decode(self, samples: Sequence[EncodedSample], which: int, out: np.ndarray) -> list[np.ndarray]:
        """Decode this picture (number ``which``) of every sample, into ``out`` where the shape fits."""
        bitstreams = [sample.bitstreams[which] for sample in samples]
        if not self.mixture:
            first = self.decoders[0]
            assert isinstance(first, ColumnDecoder)
            return first.batch(bitstreams, out)
        drawn = [sample.drawn[which] for sample in samples]
        return [self.decoders[drawn[i]](data, out[i]) for i, data in enumerate(bitstreams)]

    def header(self, sample: EncodedSample, which: int) -> Header:
        """Codec and quality from the bitstream's header; empty if the codec is not recognised."""
        if self.mixture and self.mixture.online:
            return header_of(self.mixture.columns[sample.drawn[which]])
        try:
            return read_header(sample.bitstreams[which])
        except ValueError:
            return UNKNOWN


@dataclass(frozen=True)
class Distorting:
    """Decodes a clean crop and distorts it like the distorter. Noise depends on seed, epoch and picture."""

    decode: ColumnDecoder
    distortion: Distortion
    seed: int
    epoch: int

    def __call__(self, data: bytes, out: np.ndarray | None = None) -> np.ndarray:
        """The uint8 (height, width, 3) picture, in ``out`` when it has its shape."""
        rng = generator(self.seed, str(self.epoch), hashlib.sha256(data).hexdigest() + self.distortion.name)
        rgb = self.distortion.roundtrip(self.decode(data), rng).rgb
        if out is None or out.shape != rgb.shape:
            return rgb
        out[...] = rgb
        return out


Decode = ColumnDecoder | Distorting


class Reader:
    """A source, opened: its samples by place, and batches of them.

    ``seed`` and ``epoch`` seed the draws of mixtures. ``scattered``: places come in random order, so the rows of
    all shards stay in memory.
    """

    def __init__(self, source: Source, seed: int = 0, epoch: int = 0, scattered: bool = False):
        dataset = Dataset(source.url)
        files = Files(dataset.storage, source.cache)
        self.local = dataset.storage.local
        held = {"held": dataset.plan.shards} if scattered else {}
        self.url, self.seed, self.epoch, self.headers = source.url, seed, epoch, source.headers
        columns: dict[str, ColumnReader] = {}
        self.pictures = []
        for part in source.columns:
            names = (part,) if isinstance(part, str) else part.stored
            for name in names:
                columns.setdefault(name, ColumnReader(dataset, name, files, ("width", "height"), **held))
            readers = [columns[name] for name in names]
            decoders: list[Decode] = [decoder(dataset.column(name)) for name in names]
            if isinstance(part, str):
                self.pictures.append(PictureReader(part, readers, decoders))
                continue
            if part.online:
                decoders = [
                    Distorting(decoder(dataset.column(CLEAN)), get(name), seed, epoch) for name in part.columns
                ]
            self.pictures.append(PictureReader(part.name, readers, decoders, part))
        self.columns = list(columns.values())
        self.teacher = None if source.teacher is None else CachedTeacher(dataset, source.teacher, files)
        self._compared: set[int] = set()
        self._opening: dict[int, Lock] = {}

    def open(self, shard: int) -> Rows:
        """The rows of a shard. Raises DatasetError when the columns do not hold the same keys."""
        with self._opening.setdefault(shard, Lock()):  # threads that need the same shard fetch its rows once
            index = self.columns[0].rows(shard)
            if shard not in self._compared:
                same_rows(self.columns, shard)
                if self.teacher:
                    self.teacher.match(shard, index.keys.to_pylist())
                self._compared.add(shard)
            return index

    def samples(self, shard: int, rows: Sequence[int]) -> list[EncodedSample]:
        """Some rows of a shard, ascending. Raises DatasetError when the columns do not hold the same keys."""
        index = self.open(shard)
        lo, count = rows[0], rows[-1] - rows[0] + 1
        keys, labels = (part.slice(lo, count).to_pylist() for part in (index.keys, index.labels))
        if count > len(rows):
            keys, labels = ([part[row - lo] for row in rows] for part in (keys, labels))
        drawn = [picture.draw(self.seed, self.epoch, keys) for picture in self.pictures]
        bitstreams = [
            picture.bitstreams(shard, rows, index) for picture, index in zip(self.pictures, drawn, strict=True)
        ]
        scores: Sequence[np.ndarray | None] = [None] * len(rows)
        if self.teacher:
            scores = self.teacher.read(shard, lo, lo + count)[np.asarray(rows) - lo]
        places = [shard << ROW_BITS | row for row in rows]
        parts = zip(*bitstreams, strict=True), zip(*drawn, strict=True), scores
        fields = zip(places, keys, labels, *parts, strict=True)
        return list(map(EncodedSample._make, fields))

    def memory(self, place: int, batch: int, allocate: Allocate = _new_memory) -> Room:
        """Memory for the pictures of a batch, with the sizes of the sample at ``place``.

        By default it is new.
        """
        shard, row = map(int, split_place(np.asarray(place)))
        room = {}
        for picture in self.pictures:
            table = picture.columns[0].rows(shard).table
            shape = (batch, table["height"][row].as_py(), table["width"][row].as_py(), 3)
            room[picture.name] = _aligned(math.prod(shape), allocate).reshape(shape)
        return room

    def batch(self, samples: Sequence[EncodedSample], room: Mapping[str, np.ndarray] | None = None) -> Batch:
        """Decode into ``room``. Raises DatasetError naming shard and key of what cannot be decoded."""
        room = room or self.memory(samples[0].place, len(samples))
        for i, picture in enumerate(self.pictures):
            self._decode(picture, i, samples, room[picture.name][: len(samples)])
        images = {name: torch.from_numpy(array[: len(samples)]) for name, array in room.items()}
        return self.around(images, samples)

    def around(self, images: dict[str, Tensor], samples: Sequence[EncodedSample]) -> Batch:
        """A batch of decoded pictures, with the labels and other data of their samples."""
        places, keys, labels, _, drawn, scores = zip(*samples, strict=True)
        return Batch(
            images,
            torch.from_numpy(np.array(labels)),
            list(keys),
            torch.from_numpy(np.stack(split_place(np.array(places)), 1)),
            torch.from_numpy(np.stack(scores)) if self.teacher else None,
            {
                picture.name: torch.tensor([choice[i] for choice in drawn])
                for i, picture in enumerate(self.pictures)
                if picture.mixture
            },
            {
                picture.name: [picture.header(sample, i) for sample in samples]
                for i, picture in enumerate(self.pictures)
                if self.headers
            },
        )

    def _decode(
        self, picture: PictureReader, which: int, samples: Sequence[EncodedSample], out: np.ndarray
    ) -> None:
        try:
            decoded = picture.decode(samples, which, out)
        except ValueError:
            self._find_undecodable(picture, which, samples)
            raise
        if set(map(SHAPE, decoded)) == {out.shape[1:]}:
            return
        for rgb, sample in zip(decoded, samples, strict=True):
            if rgb.shape != out.shape[1:]:
                raise DatasetError(
                    f"{self._where(picture, which, sample)} is {rgb.shape[1]}x{rgb.shape[0]}, others "
                    f"{out.shape[2]}x{out.shape[1]}: a batch needs pictures of one size; "
                    "distort them with a --crop"
                )

    def _find_undecodable(self, picture: PictureReader, which: int, samples: Sequence[EncodedSample]) -> None:
        for sample in samples:
            try:
                picture.decoders[sample.drawn[which]](sample.bitstreams[which])
            except ValueError as error:
                raise DatasetError(
                    f"{self._where(picture, which, sample)}: {error}; 'shards verify --decode' lists all"
                ) from None

    def _where(self, picture: PictureReader, which: int, sample: EncodedSample) -> str:
        column = picture.columns[sample.drawn[which]].name
        return f"{self.url}: column '{column}', shard {sample.place >> ROW_BITS:06d}, key '{sample.key}'"


def _aligned(size: int, allocate: Allocate) -> np.ndarray:
    """uint8 (size,), at an address for the fastest decoding."""
    memory = allocate(size + ALIGNMENT + OFFSET)
    start = (OFFSET - memory.ctypes.data) % ALIGNMENT
    return memory[start : start + size]


@dataclass(frozen=True)
class Stream:
    """The batches that one rank reads: places, in order. ``workers`` take them in turn.

    When a worker needs the first sample of a run of ``CHUNK`` rows, it reads all samples of the run that it will
    need within the next ``ahead`` samples (None: no limit), and holds them until then.
    """

    source: Source
    batches: Sequence[np.ndarray] = field(repr=False)  #: int64, places
    seed: int = 0
    epoch: int = 0
    ahead: int | None = None

    @property
    def largest(self) -> int:
        """Samples of the largest batch."""
        return max(map(len, self.batches), default=0)

    def part(self, worker: int = 0, workers: int = 1) -> Iterator[tuple[Reader, list[EncodedSample]]]:
        """The samples of one worker's batches, and their reader. Raises DatasetError."""
        mine = self.batches[worker::workers]
        if not mine:
            return
        reader = Reader(self.source, self.seed, self.epoch, self.ahead is not None)
        held: dict[int, EncodedSample] = {}
        with closing(_fetched(reader, reads(mine, CHUNK, self.ahead))) as fetched:
            for places in map(np.ndarray.tolist, mine):
                for place in places:
                    while place not in held:
                        samples = next(fetched)
                        held.update(zip(map(PLACE, samples), samples, strict=True))
                yield reader, [held.pop(place) for place in places]


def _fetched(reader: Reader, wanted: Iterable[Read]) -> Generator[list[EncodedSample]]:
    """The samples of reads, in order. Behind a url, several reads run concurrently."""
    if reader.local:
        yield from (reader.samples(*read) for read in wanted)
        return
    pool = ThreadPoolExecutor(UNDER_WAY)
    try:
        under_way: deque[Future[list[EncodedSample]]] = deque()
        for read in _opening(reader, wanted, pool):
            under_way.append(pool.submit(reader.samples, *read))
            if len(under_way) == UNDER_WAY:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _opening(reader: Reader, wanted: Iterable[Read], pool: ThreadPoolExecutor) -> Iterator[Read]:
    """The same reads. The rows of a shard are fetched in the background ``ROWS_AHEAD`` reads before its first."""
    coming: deque[Read] = deque()
    shard = None
    for read in wanted:
        if read.shard != shard:  # an error comes up again when its samples are read
            pool.submit(reader.open, shard := read.shard)
        coming.append(read)
        if len(coming) > ROWS_AHEAD:
            yield coming.popleft()
    yield from coming
