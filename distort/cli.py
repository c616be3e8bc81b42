"""``distort``: from pictures to a dataset."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pyarrow as pa
from PIL import Image

from distort import (
    classes,
    codecs,
    columns,
    crops,
    engines,
    estimate,
    job,
    pictures,
    preflight,
    retry,
    sheet,
    sources,
)
from distort import slurm as scripts
from distort import status as looking
from distort.codecs import Codec
from distort.codecs.lossless import LOSSLESS
from distort.distortion import PRESETS, Distortion, generator, parse, parse_list
from distort.metrics import Reference
from distort.options import CROP, DISTORTIONS, EXIF, MAX_BAD, SSIM, TIME, work
from distort.planning import make_plan
from shards.console import Group, table
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import Plan, manifest_rows

LONG = 20_000  #: pictures times columns from which a run is worth an estimate


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
@click.option(
    "--classes",
    help="The classes in the order of their labels: imagenet, or a text file. A folder with ten of ImageNet's "
    "classes then keeps ImageNet's labels.  [default: the classes of SOURCE, sorted]",
)
@click.option(
    "--labels",
    help="File with the labels of a flat folder's pictures: 'name,label' lines, Kaggle's LOC_val_solution.csv, or "
    "one label a line in the order of the names (ImageNet's ground truth).",
)
@click.option("--limit", type=click.IntRange(1), help="Only so many pictures, a random sample of the source.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order, random crops and noise.")
@click.option("--keep-order", is_flag=True, help="Keep the source's order; training wants it shuffled.")
@click.option("--shard-size", type=click.IntRange(1), default=1000, show_default=True, help="Samples per shard.")
@click.option(
    "--clean",
    type=click.Choice(list(LOSSLESS)),
    default=next(iter(LOSSLESS)),
    show_default=True,
    help="Lossless format of the clean crops. webp: 9 % fewer bytes for three times the time to write. "
    "qoi: a third of the time to read for 1.6 times the bytes; not every reader knows it.",
)
@SSIM
@EXIF
@MAX_BAD
@click.option(
    "--retry", is_flag=True, help="Make the shards again that lack pictures which can be read by now, all columns."
)
@click.option(
    "--dry-run", is_flag=True, help="Only say what there is, what it would take (time, disk, memory), and stop."
)
@click.option("--planned", is_flag=True, help="SOURCE is what DATASET was planned from: do not list it again.")
@work
def run(**options):
    """Make DATASET from the pictures of SOURCE. Both may be folders or urls, as in s3://bucket/val.

    SOURCE is a folder with one folder per class, a flat folder, a list (.csv, .txt) of 'path,label' lines, or
    WebDataset tars (a .tar or a folder of them). Pictures that cannot be read are recorded in DATASET/errors,
    see 'shards errors DATASET'.
    """
    _refuse_useless(options)
    with _stoppable():
        if options["dry_run"]:
            _dry_run(options)
        else:
            _execute(*_plan_run(options), options, options["max_bad"])


@main.command(epilog="Example: distort add val --distortions avif-30,jxl-40")
@click.argument("dataset")
@DISTORTIONS
@work
def add(**options):
    """Add columns to DATASET from its stored clean crops. What is there stays untouched."""
    _refuse_useless(options)
    with _stoppable():
        _execute(*_plan_add(options), options, 1.0)


def _refuse_useless(options: dict) -> None:
    """An option that would have no effect is a mistake."""
    if options["address"] and not engines.load(options["engine"]).addressed:
        raise click.UsageError(f"--engine {options['engine']} takes no --address: give --engine ray too")


def _plan_run(options: dict) -> tuple[Dataset, list[Distortion], str]:
    """The dataset and its columns, agreed on with what is there; the distortions; the root of the source."""
    wanted = parse_list(options["distortions"])
    if options["planned"]:
        dataset = job.reopen(options["dataset"], options["source"], options["split"])
        root = sources.root_of(options["source"], options["split"])
    else:
        root, plan, manifest = _plan(options)
        dataset = job.create(options["dataset"], plan, manifest)
    again = []
    if options["retry"]:
        k, n = options["part"]
        every = wanted + _others(dataset, wanted)
        again = retry.mended(dataset, root, every, range(k - 1, dataset.plan.shards, n))
        wanted = every if again else wanted
    columns.declare(dataset, wanted, options["any_version"])
    retry.take_back(dataset, again)
    return dataset, wanted, root


def _others(dataset: Dataset, wanted: list[Distortion]) -> list[Distortion]:
    """The distortions of the dataset that are not asked for."""
    return [parse(name) for name in dataset.columns if name not in {columns.CLEAN, *(d.name for d in wanted)}]


def _plan(options: dict) -> tuple[str, Plan, pa.Table]:
    """Root of the source, plan and manifest; says what was found. Nothing is written."""
    listing = sources.list_pictures(options["source"], options["split"], options["labels"])
    if options["classes"]:
        listing = classes.relabel(listing, classes.read(options["classes"]))
    for line in preflight.describe(listing):
        click.echo(line, err=True)
    plan, manifest = make_plan(
        listing,
        crops.parse(options["crop"]),
        settings={name: options[name] for name in ("clean", "ssim", "exif_orientation")},
        **{name: options[name] for name in ("seed", "shard_size", "keep_order", "limit")},
    )
    rows = preflight.sample(manifest)
    click.echo(preflight.refuse_unreadable(listing.root, plan, rows, options["max_bad"]), err=True)
    return listing.root, plan, manifest


def _dry_run(options: dict) -> None:
    """Everything that a run says and refuses before it writes."""
    wanted = parse_list(options["distortions"])
    root, plan, manifest = _plan(options)
    k, n = options["part"]
    todo = list(range(k - 1, plan.shards, n))
    if dataset := job.find(options["dataset"], plan, manifest):
        there = [d for d in wanted if d.name in dataset.columns]
        columns.check(dataset, tuple(d.spec for d in there), options["any_version"])
        todo = job.unfinished(dataset, [d.name for d in wanted], todo, only_add=False)
    count = sum(map(plan.pictures_of, todo))
    click.echo(f"{len(todo)} of {plan.shards} shards to make, {count:,} pictures, {len(wanted) + 1} columns")
    measured = estimate.measure(root, plan, preflight.sample(manifest, 200), wanted, budget=5)
    if measured:
        click.echo(
            estimate.describe(measured, count * plan.crops, options["workers"] or _cores(), options["dataset"])
        )
        click.echo(
            f"\n{estimate.by_column(measured)}\n\nmeasured on {measured.pictures} pictures; nothing was written"
        )


def _plan_add(options: dict, look_only: bool = False) -> tuple[Dataset, list[Distortion], None]:
    wanted = parse_list(options["distortions"])
    dataset = Dataset(options["dataset"])
    dataset.require_complete(columns.CLEAN)
    if not look_only:
        dataset.storage.sweep()
        columns.declare(dataset, wanted, options["any_version"])
    return dataset, wanted, None


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM end the command with status 130 and 143, at any time and nothing half-way."""
    try:
        with job.signals():
            yield
    except job.Stopped as stop:
        click.echo(f"stopped by {stop}; finished shards are kept, the same command goes on from there", err=True)
        sys.exit(128 + stop.signum)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _say_what_it_takes(dataset: Dataset, distortions: list[Distortion], root: str, options: dict) -> None:
    """One line before a long run, from pictures of its first shard; measuring takes about a second."""
    k, n = options["part"]
    mine = range(k - 1, dataset.plan.shards, n)
    todo = job.unfinished(dataset, [d.name for d in distortions], mine, only_add=False)
    count = sum(map(dataset.plan.pictures_of, todo))
    if count * (len(distortions) + 1) < LONG:
        return
    rows = manifest_rows(dataset.storage, dataset.plan, todo[0])
    if measured := estimate.measure(root, dataset.plan, rows, distortions, budget=1):
        workers = options["workers"] or _cores()
        line = estimate.describe(measured, count * dataset.plan.crops, workers, options["dataset"])
        click.echo(f"{len(todo)} shards to make, {count:,} pictures: {line}", err=True)


def _execute(dataset: Dataset, distortions, source_root, options: dict, max_bad: float) -> None:
    k, n = options["part"]
    if k > dataset.plan.shards:
        click.echo(f"--part {k}/{n} has no shards: {dataset.storage.url} has {dataset.plan.shards}", err=True)
    where = job.Where(options["engine"], options["workers"], options["address"])
    if source_root and options["engine"] == "local":
        _say_what_it_takes(dataset, distortions, source_root, options)
    summary = job.execute(
        dataset, distortions, source_root, where, options["part"], options["any_version"], max_bad
    )
    names = ", ".join([columns.CLEAN, *(d.name for d in distortions)])
    click.echo(
        f"{dataset.storage.url}: {summary.shards} shards made, {summary.skipped} were there; "
        f"{summary.pictures - summary.bad:,} of {summary.pictures:,} pictures; columns {names}"
    )
    for shard, reason in sorted(summary.failed.items()):
        click.echo(f"shard {shard:06d} failed: {reason}", err=True)
    if summary.failed:
        raise DatasetError(f"{len(summary.failed)} shards failed; the same command tries them again")
    if summary.bad:
        click.echo(
            f"{summary.bad} pictures could not be read; 'shards errors {dataset.storage.url}' lists them", err=True
        )
    if summary.bad_fraction > max_bad:
        raise DatasetError(
            f"{summary.bad_fraction:.2%} of the pictures could not be read, more than --max-bad {max_bad:.2%}"
        )


@main.command(epilog="Example: distort status s3://bucket/val")
@click.argument("dataset")
def status(dataset):
    """How far DATASET is, from any machine: shards done, running and missing, images/s, ETA, bad pictures."""
    click.echo(looking.describe(Dataset(dataset)))


@main.command(
    context_settings={"allow_interspersed_args": False},
    epilog="Example: distort slurm --cpus 16 --time 8:00:00 --sbatch=--partition=cpu --submit "
    "run imagenet/val /scratch/val --distortions paper",
)
@click.option("--cpus", type=click.IntRange(1), default=8, show_default=True, help="Cores per task.")
@TIME
@click.option(
    "--tasks", type=click.IntRange(1, scripts.MOST), help="Size of the array.  [default: from the shards]"
)
@click.option("--sbatch", "extra", multiple=True, help="One more option of sbatch, as in --sbatch=--account=x.")
@click.option("--submit", is_flag=True, help="Submit it, and a 'shards verify' to follow, instead of printing it.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def slurm(context, cpus, time, tasks, extra, submit, command):
    """Print a Slurm array script for COMMAND: 'run SOURCE DATASET …' or 'add DATASET …' with their options.

    The plan of 'run' is made here and now; every task then makes its share of the shards. The same command again
    fills the gaps.
    """
    name, *arguments = command
    plans = {"run": _plan_run, "add": functools.partial(_plan_add, look_only=not submit)}
    if name not in plans:
        raise click.UsageError(f"'{name}' is not run or add, as in: distort slurm run SOURCE DATASET …")
    options = main.commands[name].make_context(f"slurm {name}", arguments, parent=context.parent).params
    dataset, distortions, source = plans[name](options)
    planned = ["--planned"] if name == "run" and not options["planned"] else []
    missing = job.unfinished(dataset, [d.name for d in distortions], range(dataset.plan.shards), source is None)
    array = scripts.Array(dataset, missing, cpus, time, tasks, extra, [*command, *planned])
    click.echo(array.submit() if submit else array.script(), nl=submit)


@main.command("list", epilog="Example: distort run pictures out --distortions jpeg-10,noise-20+jpeg-10")
def list_distortions():
    """Print every codec and filter: its range, what its number means, its file extension, an example."""
    rows, options = [], []
    for name in codecs.names():
        step = codecs.load(name)
        extension = f".{step.extension}" if issubclass(step, Codec) else "–"
        limits = f"{step.low:g}..{step.high:g}" if step.parameter else "–"
        rows.append([step.example, limits, extension, step.meaning])
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
    path, target = Path(picture), Path(out)
    if target.exists() and target.samefile(path):
        raise DatasetError(f"{out} is the picture itself; give the sheet another name")
    if target.suffix.lower() not in Image.registered_extensions():
        raise DatasetError(f"{out}: no format for pictures is called '{target.suffix}'; use .png")
    try:
        image = pictures.load(sources.read(str(path.parent), path.name), exif_orientation)
        key = path.stem.encode("utf-8", "backslashreplace").decode()
        _, clean = crops.parse(crop).apply(image, 0, key)[0]
    except pictures.BadPicture as error:
        raise DatasetError(f"{picture}: {error}") from None
    reference = Reference(clean, ssim)
    panels = [sheet.Panel("clean", clean, None, math.inf, 1.0)]
    for distortion in parse_list(distortions):
        made = distortion.apply(clean, LOSSLESS["webp"], generator(0, key, distortion.name))
        panels.append(
            sheet.Panel(distortion.name, made.rgb, made.bytes, reference.psnr(made.rgb), reference.ssim(made.rgb))
        )
    sheet.draw(panels).save(target)
    click.echo(f"{out}: {len(panels)} panels of {clean.shape[1]}x{clean.shape[0]}")
