"""``distort``: from pictures to a dataset."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import click

from distort import codecs, crops, job, pictures, sheet, sources
from distort.codecs import Codec
from distort.codecs.lossless import LOSSLESS
from distort.distortion import PRESETS, generator, parse_list
from distort.metrics import Reference
from distort.planning import make_plan
from shards.console import Group, table
from shards.dataset import Dataset
from shards.errors import DatasetError


class Part(click.ParamType):
    name = "K/N"

    def convert(self, value, param, ctx):
        k, _, n = value.partition("/")
        if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
            self.fail(f"'{value}' is not K/N with 1 <= K <= N, as in 2/8")
        return int(k), int(n)


DISTORTIONS = click.option(
    "--distortions", required=True, help="Comma-separated names and presets; see 'distort list'."
)
WORKERS = click.option(
    "--workers",
    type=click.IntRange(1),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="the cores this process may use",
    help="Worker processes, one thread each.",
)
PART = click.option(
    "--part", type=Part(), default="1/1", help="Only every N-th shard, from the K-th: one machine of N."
)
MAX_BAD = click.option(
    "--max-bad",
    type=click.FloatRange(0, 1),
    default=0.001,
    show_default=True,
    help="Exit with status 1 when a larger fraction of the pictures cannot be read.",
)
CROP = click.option(
    "--crop",
    default="paper",
    show_default=True,
    help="paper: short side 256 bicubic, centre 224. none. center:SIZE. random:K: K random-resized crops of 224.",
)
EXIF = click.option(
    "--exif-orientation", is_flag=True, help="Turn pictures as their EXIF data says; ImageNet's loaders do not."
)
SSIM = click.option(
    "--ssim",
    type=click.Choice(["uniform", "gaussian"]),
    default="uniform",
    show_default=True,
    help="SSIM window: uniform 7x7 (scikit-image's default, the paper's numbers) or Gaussian 11x11 (Wang 2004).",
)


@click.group(cls=Group)
@click.version_option(package_name="codecproof")
def main():
    """Distort pictures with codecs into a dataset of tar shards, with rate, PSNR and SSIM of each."""


@main.command(
    epilog="Example: distort run imagenet/val val --distortions paper,webp-20. "
    "Run it again after an interruption and it goes on where it stopped."
)
@click.argument("source")
@click.argument("dataset")
@DISTORTIONS
@CROP
@click.option("--split", help="Which split of a root that holds train and val folders.")
@click.option("--limit", type=click.IntRange(1), help="Only so many pictures, a random sample of the source.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order, random crops and noise.")
@click.option("--keep-order", is_flag=True, help="Keep the source's order; training wants it shuffled.")
@click.option("--shard-size", type=click.IntRange(1), default=1000, show_default=True, help="Samples per shard.")
@click.option(
    "--clean", type=click.Choice(list(LOSSLESS)), default="webp", show_default=True, help="Lossless format."
)
@SSIM
@EXIF
@WORKERS
@PART
@MAX_BAD
def run(source, dataset, distortions, crop, split, limit, seed, keep_order, shard_size, clean, ssim,
        exif_orientation, workers, part, max_bad):  # fmt: skip
    """Make DATASET from the pictures of SOURCE.

    SOURCE is a folder with one folder per class, a flat folder, a list (.csv, .txt) of 'path,label' lines, or
    WebDataset tars (a .tar or a folder of them). Pictures that cannot be read are recorded in DATASET/errors.
    """
    wanted = parse_list(distortions)
    listing = sources.list_pictures(source, split)
    plan, manifest = make_plan(
        listing,
        crops.parse(crop),
        settings={"clean": clean, "ssim": ssim, "exif_orientation": exif_orientation},
        seed=seed,
        shard_size=shard_size,
        keep_order=keep_order,
        limit=limit,
    )
    _execute(job.create(dataset, plan, manifest), wanted, os.path.abspath(listing.root), workers, part, max_bad)


@main.command(epilog="Example: distort add val --distortions avif-30,jxl-40")
@click.argument("dataset")
@DISTORTIONS
@WORKERS
@PART
def add(dataset, distortions, workers, part):
    """Add columns to DATASET from its stored clean crops. What is there stays untouched."""
    wanted = parse_list(distortions)
    data = Dataset(dataset)
    data.storage.sweep()
    data.require_complete("clean")
    _execute(data, wanted, None, workers, part, 1.0)


def _execute(dataset: Dataset, distortions, source_root, workers, part, max_bad) -> None:
    job.declare_columns(dataset, distortions)
    try:
        summary = job.execute(dataset, distortions, source_root, workers, part)
    except job.Stopped as stop:
        click.echo(f"stopped by {stop}; finished shards are kept, the same command goes on from there", err=True)
        sys.exit(128 + stop.signum)
    columns = ", ".join(["clean", *(d.name for d in distortions)])
    click.echo(
        f"{dataset.storage.url}: {summary.shards} shards made, {summary.skipped} were there; "
        f"{summary.pictures - summary.bad:,} of {summary.pictures:,} pictures; columns {columns}"
    )
    for shard, reason in sorted(summary.failed.items()):
        click.echo(f"shard {shard:06d} failed: {reason}", err=True)
    if summary.failed:
        raise DatasetError(f"{len(summary.failed)} shards failed; the same command tries them again")
    if summary.bad:
        click.echo(f"{summary.bad} pictures could not be read; their reasons are in errors/*.parquet", err=True)
    if summary.bad_fraction > max_bad:
        raise DatasetError(
            f"{summary.bad_fraction:.2%} of the pictures could not be read, more than --max-bad {max_bad:.2%}"
        )


@main.command("list", epilog="Example: distort run pictures out --distortions jpeg-10,noise-20+jpeg-10")
def list_distortions():
    """Print every codec and filter: its range, what its number means, its file extension, an example."""
    rows, options = [], []
    for name in codecs.names():
        step = codecs.load(name)
        extension = f".{step.extension}" if issubclass(step, Codec) else "–"
        rows.append([step.example, f"{step.low:g}..{step.high:g}", extension, step.meaning])
        options += [[f"{step.example}:{option}", what] for option, what in step.options.items()]
    click.echo(table(["example", "range", "file", "meaning"], rows, left=(0, 3)))
    click.echo("\n" + table(["option", "what it does"], options, left=(0, 1)))
    click.echo("\nchains: a+b distorts twice, the rate is that of the last codec, as in noise-20+jpeg-10")
    for preset, names in PRESETS.items():
        click.echo(f"preset {preset}: {', '.join(names)}")


@main.command(epilog="Example: distort preview cat.jpg sheet.png --distortions paper")
@click.argument("picture", type=click.Path(exists=True, dir_okay=False))
@click.argument("out", type=click.Path(dir_okay=False))
@DISTORTIONS
@CROP
@EXIF
@SSIM
def preview(picture, out, distortions, crop, exif_orientation, ssim):
    """Draw PICTURE under every distortion, labelled with bytes, PSNR and SSIM, into OUT (Fig. 3)."""
    path = Path(picture)
    try:
        image = pictures.load(path.read_bytes(), exif_orientation)
        _, clean = crops.parse(crop).apply(image, 0, path.stem)[0]
    except pictures.BadPicture as error:
        raise DatasetError(f"{picture}: {error}") from None
    reference = Reference(clean, ssim)
    panels = [sheet.Panel("clean", clean, None, math.inf, 1.0)]
    for distortion in parse_list(distortions):
        made = distortion.apply(clean, LOSSLESS["webp"], generator(0, path.stem, distortion.name))
        panels.append(
            sheet.Panel(distortion.name, made.rgb, made.bytes, reference.psnr(made.rgb), reference.ssim(made.rgb))
        )
    sheet.draw(panels).save(out)
    click.echo(f"{out}: {len(panels)} panels of {clean.shape[1]}x{clean.shape[0]}")
