"""A ``distort run`` against its floor, and two workers against one.

The floor is the unavoidable work: decode the source, resize and crop, and the codecs' own encode and decode.
The rest (metrics, the lossless clean crop, tars, hashes, Parquet) is what the pipeline adds. Floor and run take
turns picture by picture, in one process and in CPU time, so that other programs disturb both alike; the statistics
of the shard are written at the end and counted in. Start-up is not: see distort_rival.py.

Pictures are enlarged to ImageNet's size, unless ``--as-they-are``.

Example: python benchmarks/distort_run.py imagenette224/val --distortions paper --pictures 96
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pictures import enlarge, machine, record, side_by_side

from distort import columns, crops, job, metrics, pictures
from distort.codecs.lossless import LOSSLESS
from distort.distortion import generator, parse_list
from distort.making import Maker
from distort.planning import make_plan
from distort.sources import list_pictures
from shards.plan import manifest_rows
from shards.writer import ShardWriter


def floor(source: Path, key: str, crop, distortions) -> None:
    ((_, clean),) = crop.apply(pictures.load(source.read_bytes()), 0, key)
    for distortion in distortions:
        distortion.roundtrip(clean, generator(0, key, distortion.name) if distortion.is_random else None)


def against_floor(folder: str, source: Path, options: argparse.Namespace) -> None:
    distortions = parse_list(options.distortions)
    listing = list_pictures(str(source))
    crop = crops.parse("paper")
    settings = {"clean": options.clean, "ssim": "uniform", "exif_orientation": False}
    plan, manifest = make_plan(listing, crop, settings=settings, shard_size=options.pictures)
    dataset = job.create(f"{folder}/d", plan, manifest)
    columns.declare(dataset, distortions)
    names = (columns.CLEAN, *(distortion.name for distortion in distortions))
    maker = Maker(dataset, distortions, listing.root)
    rows = manifest_rows(dataset.storage, plan, 0)
    seconds = {"floor": 0.0, "run": 0.0}

    def ours(row, read) -> None:
        records = maker.from_source(row, read, names)
        for column, made, data in records:
            writers[column].add(data=data, **made)

    with dataset.storage.scratch(0) as scratch:
        writers = {
            name: ShardWriter(dataset.storage, scratch, plan.hash, dataset.column(name), 0) for name in names
        }
        for i, (row, read) in enumerate(maker.reads(rows)):
            turns = {
                "floor": lambda row=row: floor(Path(listing.root, row["source"]), row["key"], crop, distortions),
                "run": lambda row=row, read=read: ours(row, read),
            }
            if i == 0:
                turns["floor"]()  # warm up: imports, first use of every library
            for name in turns if i % 2 else reversed(turns):
                start = time.process_time()
                turns[name]()
                seconds[name] += time.process_time() - start
        start = time.process_time()
        for writer in writers.values():
            writer.commit()
        seconds["run"] += time.process_time() - start
    ratio, each = seconds["run"] / seconds["floor"], 1e3 * seconds["floor"] / plan.pictures
    print(f"{options.distortions}: run / floor {ratio:.3f}; the floor is {each:.1f} ms of CPU a picture")
    target = 1.05 if options.distortions == "paper" else 2.0
    record(f"distort run / floor: {options.distortions}, {options.clean}", [ratio], target, higher=False)
    stages = {name: 1e3 * spent / plan.pictures for name, spent in maker.stages.items()}
    print("  ms a picture: " + ", ".join(f"{name} {spent:.2f}" for name, spent in stages.items()))


def two_workers(folder: str, source: Path, options: argparse.Namespace) -> None:
    def run(workers: int) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            command = [Path(sys.executable).parent / "distort", "run", source, f"{out}/d"]
            command += ["--distortions", options.distortions, "--workers", str(workers)]
            subprocess.run(command, check=True, capture_output=True)

    t = side_by_side(3, time.perf_counter, one=lambda: run(1), two=lambda: run(2))
    print(f"two workers against one, whole command: {t['one'] / t['two']:.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--distortions", default="paper")
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--clean", default=next(iter(LOSSLESS)))
    parser.add_argument("--as-they-are", action="store_true", help="do not enlarge the pictures")
    parser.add_argument("--skip-workers", action="store_true", help="measure the floor only")
    options = parser.parse_args()
    compiled = "compiled" if metrics.kernel() else "not compiled"
    print(f"{machine()}; metrics.c {compiled}; {options.pictures} pictures, clean crops as {options.clean}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "pictures")
        enlarge(options.folder, options.pictures, source, keep=options.as_they_are)
        against_floor(folder, source, options)
        if not options.skip_workers:
            two_workers(folder, source, options)


if __name__ == "__main__":
    main()
