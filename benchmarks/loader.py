"""The loader against its floor, against plain webdataset, and against decoding as the reference code does.

One process, one core, nothing but reading and decoding; the same pictures everywhere, the ways taken in turn.
Times are CPU times of the process, which other programs on the machine disturb little.
- floor: the codec's decode of bitstreams that are in memory already
- train: slices by the Parquet offsets, whole-batch decode into one uint8 tensor (train/feed/data.py)
- tarfile_samples: the same decode and batch, reading the tars' members through webdataset
- webdataset: ``WebDataset(...).decode("rgb")``, which gives float images; batches stacked by webdataset itself
- ImageFolder: torchvision's ImageFolder over PNG crops, JPEG on the fly by Pillow, ToTensor and Normalize

Example: OMP_NUM_THREADS=1 python benchmarks/loader.py data/val --columns jpeg-10 clean,jpeg-10 --samples 512
"""

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import webdataset as wds
from pictures import machine
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from distort.codecs import decode
from shards.dataset import Dataset
from shards.plan import column_folder
from train.feed import slices
from train.feed.data import Source, Stream
from train.feed.reading import survey
from train.feed.workers import batches
from train.networks.network import IMAGENET_MEAN, IMAGENET_STD

BATCH = 64

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dataset", help="a local dataset; its first shards are used")
parser.add_argument("--columns", nargs="+", default=["jpeg-10", "clean,jpeg-10"])
parser.add_argument("--samples", type=int, default=512)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--only", nargs="*", help="names of the ways to measure")
options = parser.parse_args()

torch.set_num_threads(1)
data = Dataset(options.dataset)
counts = survey(data, ["clean"]).counts
total = min(options.samples, sum(counts))
pool = slices.between(counts, 0, total)


def tars(column: str) -> list[str]:
    folder = Path(options.dataset, column_folder(column))
    return [str(folder / f"{run.shard:06d}.tar") for run in pool]


def floor(columns):
    extensions = [data.column(name)["extension"] for name in columns]
    held = [row for _, row in zip(range(total), (r[2:] for r in data.read(*columns)), strict=False)]

    def run():
        for row in held:
            for entry, extension in zip(row, extensions, strict=True):
                decode(entry.data, extension)

    return run


def ours(columns):
    order = list(slices.training(pool, seed=0, epoch=0, batch=BATCH, layout=slices.Layout(shuffle=200)))

    def run():
        with batches(Stream(Source(options.dataset, columns), order)) as feed:
            for batch in feed:
                consume(batch.images[columns[0]])

    return run


def members(columns):
    """Our decode and batch, but the tars read member by member."""
    extensions = [data.column(name)["extension"] for name in columns]

    def samples():
        streams = [wds.WebDataset(tars(name), shardshuffle=False, empty_check=False) for name in columns]
        for _, row in zip(range(total), zip(*streams, strict=True), strict=False):
            yield [sample[extension] for sample, extension in zip(row, extensions, strict=True)]

    def run():
        waiting = []
        for row in samples():
            waiting.append(row)
            if len(waiting) == BATCH:
                for i, extension in enumerate(extensions):
                    rgb = decode(waiting[0][i], extension)
                    batch = torch.empty((len(waiting), *rgb.shape), dtype=torch.uint8)
                    array = batch.numpy()
                    array[0] = rgb
                    for j in range(1, len(waiting)):
                        array[j] = decode(waiting[j][i], extension)
                    consume(batch)
                waiting = []

    return run


def plain(columns):
    extensions = [data.column(name)["extension"] for name in columns]

    def pictures(column, extension):
        pipeline = wds.WebDataset(tars(column), shardshuffle=False, empty_check=False).shuffle(200).decode("rgb")
        return pipeline.to_tuple(extension, "cls").batched(BATCH)

    def run():
        streams = [
            DataLoader(pictures(*pair), batch_size=None, num_workers=0)
            for pair in zip(columns, extensions, strict=True)
        ]
        left = total
        for row in zip(*streams, strict=True):
            left -= len(row[0][1])
            consume(torch.as_tensor(row[0][0]))
            if left <= 0:
                break

    return run


def image_folder(columns, folder):
    """The reference code's way: files of crops, distorted when they are read. JPEG only."""
    quality = int(next(name for name in columns if name.startswith("jpeg-")).removeprefix("jpeg-"))
    finish = transforms.Compose([transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)])

    def distorted(image):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        seen = finish(Image.open(stream).convert("RGB"))
        return (finish(image), seen) if "clean" in columns else seen

    def run():
        dataset = ImageFolder(folder, transform=distorted)
        for images, _ in DataLoader(dataset, BATCH, shuffle=True, num_workers=0):
            consume(images[0] if isinstance(images, list) else images)

    return run


def consume(batch):
    """Touch the result, as a copy to a device would."""
    assert batch.shape[0] <= BATCH
    return batch.reshape(-1)[:: 1 << 16].float().sum()


def write_crops(folder: Path) -> None:
    for _, (key, label, clean) in zip(range(total), data.read("clean"), strict=False):
        target = folder / str(label)
        target.mkdir(exist_ok=True)
        Image.fromarray(decode(clean.data, clean.extension)).save(target / f"{key}.png", compress_level=6)


def seconds(run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(columns: tuple[str, ...], folder: str) -> None:
    ways = {"floor": floor(columns), "train": ours(columns), "tarfile_samples": members(columns)}
    if all(data.column(name)["extension"] in ("jpg", "png", "webp") for name in columns):
        ways["webdataset"] = plain(columns)
    if any(name.startswith("jpeg-") for name in columns):
        ways["ImageFolder"] = image_folder(columns, folder)
    if options.only:
        ways = {name: run for name, run in ways.items() if name in {"floor", "train", *options.only}}
    for run in ways.values():
        run()  # warm: page cache, imports
    taken = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, run in ways.items():
            taken[name].append(seconds(run))
    print(f"\n{' + '.join(columns)}: {total} samples of {len(columns)} pictures, {options.rounds} rounds in turn")
    for name, times in taken.items():
        ratios = [ours / other for ours, other in zip(taken["train"], times, strict=True)]
        against = statistics.median(other / ours for ours, other in zip(taken["train"], times, strict=True))
        rate = total / statistics.median(times)
        spread = f"{1 / max(ratios):.2f} to {1 / min(ratios):.2f}"
        print(f"  {name:16} {rate:8.0f} samples/s   train is {against:.2f} x this ({spread})")


if __name__ == "__main__":
    print(f"{machine()}; torch {torch.__version__}, webdataset {wds.__version__}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        write_crops(Path(folder))
        for names in options.columns:
            compare(tuple(names.split(",")), folder)
