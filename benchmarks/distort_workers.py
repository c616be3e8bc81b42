"""How busy ``distort run`` keeps its workers: the real scheduler in simulated time, with real stages' costs.

The costs of a picture and a commit are taken from ``distort run … --workers 1 --profile`` on a quiet machine; the
scheduler's own time is measured here, during the simulation. Efficiency is the time of one worker over
N times the time of N. Starting the processes is left out: it takes the same second for any number of pictures.

Example: python benchmarks/distort_workers.py --make 15 --commit 0.35
"""

import argparse
import heapq
import pickle
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from distort.engines.base import Engine, Outcome, Returned, Unit, run
from distort.units import CommitColumn, Made, MakePictures, OpenShard, PictureWork, ShardContents
from shards.dataset import Dataset
from shards.plan import Plan
from shards.storage import Storage

OPEN = 0.02  #: seconds to see what is missing of a shard and to read its rows of the manifest
FSYNC = 0.05  #: seconds that publishing a shard takes besides its pictures' share
ROW = {"key": "ILSVRC2012_val_00000001", "source": "n01440764/ILSVRC2012_val_00000001.JPEG", "label": 0}


class Simulated(Engine):
    """Workers that only let time pass. ``clock`` is what the process that hands out work has spent."""

    splits = True

    def __init__(self, dataset: Dataset, workers: int, make: float, commit: float, seed: int = 0):
        super().__init__(lambda unit, report: None, workers)
        self.dataset, self.make, self.commit, self.clock = dataset, make, commit, 0.0
        self.random = random.Random(seed)
        self.flying: list[tuple[float, int, Unit]] = []
        self.count = 0
        self.mark = time.thread_time()

    def room(self) -> int:
        return self.workers - len(self.flying)

    def _spend(self) -> None:
        now = time.thread_time()
        self.clock += now - self.mark
        self.mark = now

    def start(self, unit: Unit) -> None:
        pickle.dumps(unit)  # as the pipe to a worker would
        self._spend()
        self.count += 1
        heapq.heappush(self.flying, (self.clock + self._seconds(unit), self.count, unit))

    def _seconds(self, unit: Unit) -> float:
        match unit:
            case OpenShard():
                return OPEN
            case MakePictures():  # pictures differ: the larger ones take several times as long
                return sum(self.random.lognormvariate(0, 0.5) for _ in unit.rows) * self.make / 1.133
            case CommitColumn():
                return FSYNC + self.commit * sum(len(part) for part in unit.parts) / len(unit.columns)
        raise TypeError(unit)

    def wait(self) -> Iterator[tuple[Unit, Outcome]]:
        self._spend()
        end, _, unit = heapq.heappop(self.flying)
        self.clock = max(self.clock, end)
        yield unit, Returned(self._value(unit))

    def _value(self, unit: Unit) -> ShardContents | Made:
        if isinstance(unit, OpenShard):
            return ShardContents(
                ("clean", "a", "b", "c"), [ROW] * self.dataset.plan.pictures_of(unit.shard), stored=False
            )
        if isinstance(unit, MakePictures):
            return Made(len(unit.rows), part=range(len(unit.rows)))
        return Made()

    def close(self) -> None:
        pass


def makespan(pictures: int, per_shard: int, workers: int, make: float, commit: float) -> float:
    """Seconds that so many workers take."""
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(Path(folder, "d"))
        plan = Plan({}, None, pictures, per_shard, 1, "0" * 64)
        storage.create("dataset.json", b"{}")
        dataset = object.__new__(Dataset)
        dataset.storage, dataset.plan = storage, plan
        engine = Simulated(dataset, workers, make, commit)
        for _ in run(engine, PictureWork(dataset, range(plan.shards), workers, 1.0)):
            pass
        return engine.clock


def efficiency(pictures: int, per_shard: int, workers: int, make: float, commit: float) -> float:
    one = makespan(pictures, per_shard, 1, make, commit)
    return one / (workers * makespan(pictures, per_shard, workers, make, commit))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make", type=float, default=15.0, help="milliseconds that making a picture takes")
    parser.add_argument("--commit", type=float, default=0.35, help="milliseconds of a commit per picture")
    parser.add_argument("--most", type=int, default=50_000, help="leave out cases of more pictures than this")
    options = parser.parse_args()
    from pictures import record  # a neighbour of this script; the tests load it without its folder

    make, commit = options.make / 1000, options.commit / 1000
    print(f"{options.make} ms to make a picture, {options.commit} ms to commit it")
    print(f"{'pictures':>9} {'a shard':>8} {'workers':>8} {'efficiency':>11}")
    for pictures, per_shard, workers in (
        (200, 1000, 2), (2000, 1000, 2), (20_000, 1000, 2), (50_000, 1000, 16), (50_000, 1000, 64),
        (50_000, 1000, 128), (50_000, 100, 64), (50_000, 10_000, 64),
    ):  # fmt: skip
        if pictures > options.most:
            continue
        found = efficiency(pictures, per_shard, workers, make, commit)
        print(f"{pictures:>9} {per_shard:>8} {workers:>8} {found:>11.3f}", flush=True)
        named = f"{pictures} pictures in shards of {per_shard}, {workers} workers"
        record(f"simulated efficiency of distort run: {named}", [found], 0.95)


if __name__ == "__main__":
    main()
