"""The loader against its floor and against other loaders: the same bitstreams and batches, ways taken in turn.

Samples per second from the first batch of an epoch to its last, and each way's ratio to ``train``.
- floor: the codec's decode of bitstreams that are in memory already, into one batch that is used again
- train: what a training reads (train/feed), in this process
- unaligned: the floor, into a batch at an address that divides by 32; libjpeg-turbo then writes past the caches
- the loaders of benchmarks/rivals/loaders.py, as far as they are installed

Times are CPU times, which other programs disturb little. Without --workers they are of one process. With
--workers N the floor in N processes, train's N workers, and N threads that decode the samples of a batch side by
side are compared by what all of their processes use, starting them included. --latency adds so many milliseconds
to every request and compares with local reading, by the clock: it needs a quiet machine.

Example: OMP_NUM_THREADS=1 python benchmarks/loader.py data/val --columns jpeg-10 clean,jpeg-10 --samples 1280
"""

import argparse
import gc
import os
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import torch
from fsspec.implementations.memory import MemoryFileSystem
from pictures import machine, record
from rivals.loaders import BATCH, RIVALS

from distort.codecs import decoder
from shards.dataset import Dataset
from shards.plan import column_folder
from train.feed import slices
from train.feed.data import ALIGNMENT, OFFSET, Source, Stream
from train.feed.reading import survey
from train.feed.workers import batches

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dataset", help="a local dataset; its first samples are used")
parser.add_argument("--columns", nargs="+", default=["jpeg-10", "clean,jpeg-10"])
parser.add_argument("--samples", type=int, default=1280)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--latency", type=float, nargs="*", default=[])
options = parser.parse_args()

torch.set_num_threads(1)
data = Dataset(options.dataset)
counts = survey(data, ["clean"]).counts
total = min(options.samples, sum(counts)) // BATCH * BATCH
pool = slices.between(counts, 0, total)


def room(shape: tuple[int, ...], offset: int) -> np.ndarray:
    """A batch that begins at an address of ALIGNMENT * n + offset."""
    whole = np.empty(int(np.prod(shape)) + 2 * ALIGNMENT, np.uint8)
    start = (offset - whole.ctypes.data) % ALIGNMENT
    return whole[start : start + int(np.prod(shape))].reshape(shape)


class Floor:
    """Decoding alone."""

    def __init__(self, columns: tuple[str, ...], offset: int = OFFSET):
        self.decoders = [decoder(data.column(name)) for name in columns]
        self.held = [[entry.data for entry in entries] for _, _, *entries in data.select(*columns)[:total]]
        shape = self.decoders[0](self.held[0][0]).shape
        self.rooms = [room((BATCH, *shape), offset) for _ in columns]

    def decode(self, start: int, i: int) -> None:
        for bitstream, decode, out in zip(self.held[start + i], self.decoders, self.rooms, strict=True):
            decode(bitstream, out[i])

    def __call__(self) -> Iterator:
        for start in range(0, total, BATCH):
            for decode, out, which in zip(self.decoders, self.rooms, range(len(self.rooms)), strict=True):
                decode.batch([self.held[start + i][which] for i in range(BATCH)], out)
            yield self.rooms

    def threads(self, count: int) -> Iterator:
        """``count`` threads decode the samples of a batch side by side; the decoders release the GIL."""
        with ThreadPoolExecutor(count) as threads:
            for start in range(0, total, BATCH):
                list(threads.map(lambda i, start=start: self.decode(start, i), range(BATCH)))
                yield self.rooms

    def processes(self, count: int) -> Iterator:
        """``count`` processes decode their parts and deliver nothing; the first batch is for the clock."""
        yield self.rooms
        children = []
        for worker in range(count):
            if not (child := os.fork()):
                for start in range(worker * BATCH, total, count * BATCH):
                    for i in range(BATCH):
                        self.decode(start, i)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        yield self.rooms


def ours(columns: tuple[str, ...], workers: int = 0, url: str = options.dataset) -> Callable[[], Iterator]:
    layout = slices.EpochLayout(workers=max(workers, 1), shuffle=200)
    order = list(slices.training(pool, seed=0, epoch=0, batch=BATCH, layout=layout))

    def epoch():
        with batches(Stream(Source(url, columns), order), workers) as feed:
            yield from feed

    return epoch


def cpu_of_all() -> float:
    """CPU seconds of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def compare(
    ways: dict[str, Callable[[], Iterator]], base: str, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Print samples/s and ratios; returns the ratios of every round: the time of a way / the time of ``base``."""
    for way in ways.values():
        for _ in way():  # warm: page cache, imports
            pass
    gc.freeze()  # as train's workers do, which spares the collector the objects of all imports
    taken = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            gc.collect()  # the garbage of the way before
            epoch = iter(way())
            next(epoch)
            start = clock()
            for _ in epoch:
                pass
            taken[name].append(clock() - start)
    gc.unfreeze()
    found = {}
    for name, times in taken.items():
        found[name] = ratios = [other / ours for ours, other in zip(taken[base], times, strict=True)]
        rate = (total - BATCH) / statistics.median(times)
        middle, spread = statistics.median(ratios), f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {name:26} {rate:8.0f} samples/s   {base} is {middle:.2f} x this ({spread})", flush=True)
    return found


def one_core(columns: tuple[str, ...], folder: Path) -> None:
    ways = {"train": ours(columns), "floor": Floor(columns), "unaligned": Floor(columns, 0)}
    extension = data.column(columns[0])["extension"]
    for name, (make, extensions) in RIVALS.items() if len(columns) == 1 else ():
        if extensions and extension not in extensions:
            continue
        place = folder / f"{name}-{columns[0]}"
        place.mkdir()
        try:
            ways[name] = make(data, columns[0], total, place)
        except ImportError as error:
            print(f"  {name}: not installed ({error})")
    found = compare(ways, "train", time.process_time)
    label = f"loader, one core, {' + '.join(columns)}"
    record(f"{label}: decoding alone / train", found["floor"], 0.95)
    for name in (name for name in found if name in RIVALS):
        record(f"{label}: {name} / train", found[name], 1.3)
        most = [rival / floor for rival, floor in zip(found[name], found["floor"], strict=True)]
        record(f"{label}: {name} / decoding alone (the most that is possible)", most)


def all_cores(columns: tuple[str, ...], workers: int) -> None:
    floor = Floor(columns)
    found = compare(
        {
            "train": ours(columns, workers),
            "floor": lambda: floor.processes(workers),
            "threads": lambda: floor.threads(workers),
        },
        "train",
        cpu_of_all,
    )
    label = f"loader, {workers} workers, {' + '.join(columns)}"
    record(f"{label}: decoding alone in {workers} processes / train", found["floor"], 0.95)
    record(f"{label}: decoding alone in {workers} threads of one process / train", found["threads"])


class Distant(MemoryFileSystem):
    """A dataset in memory, every request for which takes a while.

    Opening a Parquet file and reading some of its columns is three requests: s3fs asks for the size first, then
    for the end of the file and for the columns.
    """

    protocol = "distant"
    store, pseudo_dirs = {}, [""]
    seconds, requests, received = 0.0, 0, 0

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("distant://", "memory://"))

    def _request(self, count=1):
        Distant.requests += count
        time.sleep(count * Distant.seconds)

    def cat_file(self, path, start=None, end=None, **kwargs):
        self._request()
        data = super().cat_file(path, start, end, **kwargs)
        Distant.received += len(data)
        return data

    def ls(self, path, detail=True, **kwargs):
        self._request()
        return super().ls(path, detail, **kwargs)

    def _open(self, path, mode="rb", **kwargs):
        self._request(3)
        return super()._open(path, mode, **kwargs)


def remote(columns: tuple[str, ...]) -> None:
    fsspec.register_implementation("distant", Distant, clobber=True)
    there, root = Distant(), Path(options.dataset)
    for name in ("dataset.json", *(f"{column_folder(column)}/*" for column in columns)):
        for file in root.glob(name):
            there.pipe_file(f"/set/{file.relative_to(root)}", file.read_bytes())
    label = f"remote reading, {' + '.join(columns)}"
    ask(columns, label)
    workers = max(options.workers, 1)
    for milliseconds in options.latency:
        Distant.seconds = milliseconds / 1000
        print(f" {milliseconds:g} ms a request")
        ways = {"remote": ours(columns, workers, "distant://set"), "local": ours(columns, workers)}
        found = compare(ways, "remote", time.perf_counter)
        record(f"{label}: local / remote, {milliseconds:g} ms a request, by the clock", found["local"], 0.9)


def ask(columns: tuple[str, ...], label: str) -> None:
    """Count the requests and bytes of an epoch, opening the dataset included."""
    payload = sum(len(entry.data) for _, _, *entries in data.select(*columns)[:total] for entry in entries)
    Distant.seconds = Distant.requests = Distant.received = 0
    for _ in ours(columns, 0, "distant://set")():
        pass
    requests, received = 1000 * Distant.requests / total, Distant.received / payload
    print(f" {requests:.1f} requests per 1,000 samples; {received:.2f} x the bytes of the bitstreams")
    record(f"{label}: requests per 1,000 samples", [requests], higher=False)
    record(f"{label}: bytes received / bytes of bitstreams", [received], higher=False)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(f"{machine()}; torch {torch.__version__}; {total} samples, {options.rounds} rounds in turn")
    for names in options.columns:
        chosen = tuple(names.split(","))
        print(f"\n{' + '.join(chosen)}")
        if options.latency:
            remote(chosen)
        elif options.workers:
            all_cores(chosen, options.workers)
        else:
            with tempfile.TemporaryDirectory() as folder:
                one_core(chosen, Path(folder))
