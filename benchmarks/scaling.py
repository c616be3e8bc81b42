"""How distorting scales, on paper: planning, requests, and makespan with stragglers and pre-emptions.

    python benchmarks/scaling.py plan --most 1000000
    python benchmarks/scaling.py requests
    python benchmarks/scaling.py makespan --pictures 14000000 --cost 0.22

``plan`` and ``requests`` measure the real code. ``makespan`` simulates three ways to share shards: cores that take
one after another from a queue (Ray), a Slurm array whose tasks go to nodes of 16 cores as these become free, and
one ``--part K/N`` for each node. Every worker has a speed of its own (log-normal, 10 %), some are stragglers, and
any may be pre-empted: it loses the shard it is on and starts again. docs/scaling.md holds the tables.
"""

from __future__ import annotations

import argparse
import heapq
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import fsspec
import numpy as np
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from distort import columns, crops, job, planning, sources
from distort.distortion import parse_list
from distort.shard import ShardJob, ShardMaker
from distort.units import WholeShard
from shards.console import table
from shards.storage import Storage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    plan = commands.add_parser("plan")
    plan.add_argument("--most", type=int, default=1_000_000)
    plan.add_argument("--one", type=int, help="only this size, in this process")
    plan.set_defaults(run=lambda options: plan_once(options.one) if options.one else plan_all(options.most))
    requests = commands.add_parser("requests")
    requests.set_defaults(run=lambda options: count_requests())
    makespan = commands.add_parser("makespan")
    makespan.add_argument("--pictures", type=int, default=14_000_000)
    makespan.add_argument(
        "--cost", type=float, default=0.22, help="seconds a picture; distort run --dry-run says it"
    )
    makespan.add_argument(
        "--stragglers", type=float, default=0.02, help="share of workers at a quarter of the speed"
    )
    makespan.add_argument("--preempted", type=float, default=6.0, help="hours between pre-emptions of a worker")
    makespan.add_argument("--restart", type=float, default=120.0, help="seconds until a pre-empted worker is back")
    makespan.set_defaults(run=simulate_all)
    options = parser.parse_args()
    options.run(options)


# Planning


def plan_all(most: int) -> None:
    sizes = [10**k for k in range(4, 9) if 10**k <= most]
    rows = [subprocess.check_output([sys.executable, __file__, "plan", "--one", str(n)], text=True) for n in sizes]
    heads = ["pictures", "list s", "plan s", "write s", "µs per picture", "peak MB", "manifest MB"]
    print(table(heads, [row.split() for row in rows]))


def plan_once(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list.csv")
        with path.open("w") as file:
            file.writelines(f"n{i % 1000:08d}/n{i % 1000:08d}_{i}.JPEG,n{i % 1000:08d}\n" for i in range(count))
        laps = [time.process_time()]
        listing = sources.list_pictures(str(path))
        laps.append(time.process_time())
        plan, manifest = planning.make_plan(listing, crops.parse("paper"), settings={})
        laps.append(time.process_time())
        plan.write(Storage(f"{folder}/d"), manifest)
        laps.append(time.process_time())
        took = np.diff(laps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        size = Path(folder, "d", "manifest.parquet").stat().st_size / 1e6
        cells = [*(f"{t:.2f}" for t in took), f"{1e6 * took.sum() / count:.1f}", f"{peak:.0f}", f"{size:.1f}"]
        print(f"{count:,}", *cells)


# Requests


class Counting(MemoryFileSystem):
    """An object store in memory that counts what a real one would be asked."""

    protocol = "counting"
    asked: Counter[str] = Counter()
    inside = 0


def _counted(name: str, kind: str, requests: int = 1) -> None:
    original = getattr(MemoryFileSystem, name)

    def method(self: MemoryFileSystem, *arguments: object, **options: object) -> object:
        if not Counting.inside:
            Counting.asked[kind] += requests
        Counting.inside += 1
        try:
            return original(self, *arguments, **options)
        finally:
            Counting.inside -= 1

    setattr(Counting, name, method)


def count_requests() -> None:
    """Requests of a run from and to an object store: per start of a worker, shard, column and picture."""
    # s3fs opens a file for reading with a HEAD, and reads a Parquet file's end and the columns: two GETs.
    for name, kind in (
        ("cat_file", "GET"),
        ("info", "HEAD"),
        ("ls", "LIST"),
        ("find", "LIST"),
        ("rm_file", "DELETE"),
    ):
        _counted(name, kind)
    for name in ("put_file", "pipe_file"):
        _counted(name, "PUT")
    _counted("_open", "GET", 3)
    fsspec.register_implementation("counting", Counting, clobber=True)
    measured = {}
    for distortions in ("jpeg-10", "jpeg-10,webp-20"):
        for pictures in (10, 20):
            measured[distortions, pictures] = _requests_of_a_shard(distortions, pictures)
    small, large = measured["jpeg-10", 10], measured["jpeg-10", 20]
    wide = measured["jpeg-10,webp-20", 10]
    picture = (large - small) / 10
    column = wide - small
    print(f"a picture {picture:.0f}, a shard {small - 10 * picture - column:.0f} and {column:.0f} for each column")
    print("(a shard with its clean column; markers of a running shard add one a minute)")


def _requests_of_a_shard(distortions: str, pictures: int) -> int:
    root = f"counting://{pictures}-{distortions.count(',')}"
    store = fsspec.filesystem("counting")
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)).save(file.name)
        for i in range(2 * pictures):
            store.pipe_file(f"{root}/src/a/{i}.png", Path(file.name).read_bytes())
    listing = sources.list_pictures(f"{root}/src")
    plan, manifest = planning.make_plan(
        listing,
        crops.parse("paper"),
        settings={"clean": "webp", "ssim": "uniform", "exif_orientation": False},
        shard_size=pictures,
    )
    dataset = job.create(f"{root}/d", plan, manifest)
    wanted = parse_list(distortions)
    columns.declare(dataset, wanted)
    maker = ShardMaker(ShardJob(f"{root}/d", tuple(d.spec for d in wanted), f"{root}/src"))
    maker(WholeShard(0), lambda done, bad: None)  # the start of a worker
    Counting.asked.clear()
    maker(WholeShard(1), lambda done, bad: None)
    return Counting.asked.total()


# Makespan


CORES = 16  #: of a node of the Slurm cluster


@dataclass
class Outcome:
    makespan: float  #: seconds
    ideal: float  #: the work over all workers' speeds, nothing lost
    wasted: float  #: share of the time worked that pre-emptions threw away


def simulate_all(options: argparse.Namespace) -> None:
    heads = ["cores", "shard size", "shards", "ideal", "queue", "array", "own part", "wasted"]
    rows = []
    for cores in (16, 160, 1600, 10_000):
        nodes = cores // CORES
        for size in (100, 1000, 10_000):
            shards = -(-options.pictures // size)
            work = size * options.cost
            queue = simulate(shards, work, cores, shards, options)
            array = simulate(shards, work / CORES, nodes, min(999, -(-shards // CORES)), options)
            part = simulate(shards, work / CORES, nodes, nodes, options)
            rows.append(
                [
                    f"{cores:,}", f"{size:,}", f"{shards:,}", f"{queue.ideal / 3600:,.1f} h",
                    *(f"{outcome.makespan / outcome.ideal:.2f}" for outcome in (queue, array, part)),
                    f"{queue.wasted:.1%}",
                ]
            )  # fmt: skip
    print(
        f"{options.pictures:,} pictures, {1000 * options.cost:.0f} ms each; queue, array, own part: times ideal\n"
    )
    print(table(heads, rows, left=()))


def simulate(shards: int, work: float, workers: int, tasks: int, options: argparse.Namespace) -> Outcome:
    """``tasks`` go to the next free worker; task K has every ``tasks``-th shard of ``work`` seconds each.

    A pre-empted worker loses the shard it is on, and after a restart goes on with its task.
    """
    rng = np.random.default_rng(0)
    speed = rng.lognormal(0, 0.1, workers) * np.where(rng.random(workers) < options.stragglers, 0.25, 1)
    life = rng.exponential(options.preempted * 3600, workers)  # time of the next pre-emption
    free = [(0.0, k) for k in range(workers)]
    left = [0] * workers  # shards of the worker's task
    given, lost, worked, last = 0, 0.0, 0.0, 0.0
    while free:
        now, k = heapq.heappop(free)
        if not left[k]:
            if given == tasks:
                continue
            left[k] = len(range(given, shards, tasks))
            given += 1
        end = now + work / speed[k]
        if end > life[k]:
            lost += max(0.0, life[k] - now)
            back = max(now, life[k]) + options.restart
            life[k] = back + rng.exponential(options.preempted * 3600)
            heapq.heappush(free, (back, k))
            continue
        left[k] -= 1
        worked += end - now
        last = max(last, end)
        heapq.heappush(free, (end, k))
    return Outcome(last, shards * work / speed.sum(), lost / (lost + worked))


if __name__ == "__main__":
    main()
