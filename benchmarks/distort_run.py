"""A whole ``distort run`` against its floor, and two workers against one.

The floor is what nobody can avoid: decode the source, resize and crop, and the codecs' own encode and decode.
The rest (metrics, the lossless clean crop, tars, hashes, Parquet, fsync) is what the pipeline adds.

Example: python benchmarks/distort_run.py PICTURES --distortions paper --pictures 96
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from pictures import machine, side_by_side

import distort
from distort import columns, crops, job, pictures
from distort.codecs import Codec
from distort.distortion import generator, parse_list
from distort.planning import make_plan
from distort.shard import Job, run_shard
from distort.sources import list_pictures

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder")
parser.add_argument("--distortions", default="paper")
parser.add_argument("--pictures", type=int, default=96)
parser.add_argument("--skip-workers", action="store_true", help="measure the floor only")
options = parser.parse_args()

ROUNDS = 6
distortions = parse_list(options.distortions)
listing = list_pictures(options.folder)
crop = crops.parse("paper")
plan, manifest = make_plan(
    listing, crop, settings={"clean": "webp", "ssim": "uniform", "exif_orientation": False},
    shard_size=options.pictures // ROUNDS, limit=options.pictures,
)  # fmt: skip
sources = manifest["source"].to_pylist()


def floor(shard: int) -> None:
    for source in sources[shard * plan.per_shard : (shard + 1) * plan.per_shard]:
        image = pictures.load(Path(listing.root, source).read_bytes())
        ((_, clean),) = crop.apply(image, 0, "")
        for distortion in distortions:
            rgb = clean
            for step in distortion.steps:
                if isinstance(step, Codec):
                    rgb = step.decode(step.encode(rgb))
                else:
                    rgb = step.apply(rgb, generator(0, source, distortion.name))


print(f"{machine()}; {plan.pictures} pictures; {', '.join(d.name for d in distortions)}")
with tempfile.TemporaryDirectory() as folder:
    dataset = job.create(f"{folder}/d", plan, manifest)
    columns.declare(dataset, distortions)
    task = Job(f"{folder}/d", tuple(d.name for d in distortions), listing.root)
    floor(0)  # warm up: imports, first use of every library
    whole, bare = [], []
    for shard in range(plan.shards):
        start = time.perf_counter()
        run_shard(task, shard, lambda done, bad: None)
        middle = time.perf_counter()
        floor(shard)
        whole.append(middle - start)
        bare.append(time.perf_counter() - middle)
    ratios = np.array(whole) / bare
    print(
        f"run / floor: {np.median(ratios):.3f} (of {len(ratios)} shards: {ratios.min():.3f} to {ratios.max():.3f})"
    )

if not options.skip_workers:
    # As a user runs it: 1,000 pictures a shard, so that these are less than one.
    busy: dict[int, list[float]] = {1: [], 2: []}

    def make(workers: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made = distort.run(
                options.folder,
                f"{folder}/d",
                distortions=options.distortions,
                limit=options.pictures,
                workers=workers,
            )
            busy[workers].append(sum(made.stages.values()) / (workers * made.seconds))

    t = side_by_side(3, one=lambda: make(1), two=lambda: make(2))
    print(f"two workers against one, {options.pictures} pictures, start-up included: {t['one'] / t['two']:.2f}x")
    for workers, shares in busy.items():
        print(f"{workers} workers: {np.median(shares):.3f} of their time is work, the rest starting and waiting")
