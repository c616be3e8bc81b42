"""``distort``: from pictures to a dataset."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from distort import api, codecs, crops, job, measuring, pictures, quality, sheet, sources, stages
from distort import slurm as scripts
from distort import status as looking
from distort.codecs import Codec
from distort.codecs.lossless import LOSSLESS
from distort.distortion import PRESETS, generator, parse_list
from distort.metrics import Reference
from distort.options import (
    ADDRESS,
    CROP,
    DISTORTIONS,
    ENGINE,
    EXIF,
    MAX_BAD,
    PART,
    SOMETHING,
    SSIM,
    TIME,
    WORKERS,
    Checked,
    check_sbatch,
    work,
)
from distort.planning import LARGEST_SHARD
from shards.console import NAMES, Group, PathType, plain, plural, table
from shards.dataset import Dataset
from shards.errors import DatasetError


@click.group(cls=Group)
@click.version_option(package_name="codecproof")
def main() -> None:
    """Distort pictures with codecs into a dataset of tar shards, with rate, PSNR and SSIM of each."""


@main.command(
    epilog="Example: distort run imagenet/val val --distortions paper,webp-20. "
    "Repeat the command to resume an interrupted run."
)
@click.argument("source")
@click.argument("dataset")
@DISTORTIONS
@CROP
@click.option("--split", type=SOMETHING, help="The split to use, if SOURCE holds folders such as train and val.")
@click.option(
    "--classes",
    type=SOMETHING,
    help="The classes in the order of their labels: imagenet, or a text file. A folder with ten of ImageNet's "
    "classes then keeps ImageNet's labels.  [default: the classes of SOURCE, sorted]",
)
@click.option(
    "--labels",
    type=SOMETHING,
    help="File with the labels of a flat folder's pictures: 'name,label' lines, Kaggle's LOC_val_solution.csv, or "
    "one label per line in the order of the names (ImageNet's ground truth).",
)
@click.option("--limit", type=click.IntRange(1), help="Use a random sample of this many pictures.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the order, random crops and noise.")
@click.option("--keep-order", is_flag=True, help="Keep the source's order. For training, let it be shuffled.")
@click.option(
    "--shard-size",
    type=click.IntRange(1, LARGEST_SHARD),
    default=1000,
    show_default=True,
    help="Samples per shard.",
)
@click.option(
    "--clean",
    type=click.Choice(list(LOSSLESS)),
    default=next(iter(LOSSLESS)),
    show_default=True,
    help="Lossless format of the clean crops. webp: 9 % fewer bytes, but three times the time to write. "
    "qoi: a third of the time to read, but 1.6 times the bytes, and few other programs read it.",
)
@SSIM
@EXIF
@MAX_BAD
@click.option("--retry", is_flag=True, help="Remake all columns of shards that have bad pictures readable now.")
@click.option(
    "--dry-run", is_flag=True, help="Only print what SOURCE holds and an estimate of time, disk and memory."
)
@click.option("--planned", is_flag=True, help="DATASET was planned from SOURCE: do not list SOURCE again.")
@work
def run(**options: Any) -> None:
    """Make DATASET from the pictures of SOURCE. Both may be folders or urls, as in s3://bucket/val.

    SOURCE is a folder with one folder per class, a flat folder, a list (.csv, .tsv, .txt) of 'path,label' lines,
    or WebDataset tars (a .tar or a folder of them). 'shards errors DATASET' lists the pictures that could not be
    read.
    """
    with _stoppable():
        if options.pop("dry_run"):
            click.echo(_dry_run(**options))
        else:
            _make(api.run, options)


@main.command(epilog="Example: distort add val --distortions avif-30,jxl-40")
@click.argument("dataset")
@DISTORTIONS
@work
def add(**options: Any) -> None:
    """Add columns to DATASET from its stored clean crops. Existing columns are not touched."""
    with _stoppable():
        _make(api.add, options)


def _list_metrics(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    rows = []
    for name in quality.METRICS.names():
        try:
            metric = quality.METRICS.load(name)
        except ValueError as error:
            rows.append([name, str(error)])
            continue
        needs = f" [{', '.join(metric.packages)}]" if metric.packages else ""
        rows.append([name, metric.meaning + needs])
    click.echo(table(["metric", "meaning"], [*rows, [quality.TIME, "encode-time and decode-time"]], left=(0, 1)))
    context.exit()


def _say(text: str) -> None:
    click.echo(plain(text), err=True)


def _refuse_useless(options: dict) -> None:
    """Raise UsageError for an option that would have no effect."""
    try:
        job.Where(options["engine"], options["workers"], options["address"]).check()
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _planning(options: dict) -> api.Planning:
    return api.Planning(**{field.name: options[field.name] for field in dataclasses.fields(api.Planning)})


def _dry_run(
    dataset: str, distortions: str, workers: int | None, part: tuple[int, int],
    any_version: bool, **options: Any,
) -> str:  # fmt: skip
    return api.dry_run(
        dataset, distortions, _planning(options), workers=workers, part=part, any_version=any_version, say=_say
    )


def _make(make: Callable[..., job.Summary], options: dict) -> None:
    _refuse_useless(options)
    profile = options.pop("profile")
    try:
        summary = make(**options, say=_say)
    except api.Incomplete as error:
        _report(options["dataset"], error.summary, profile)
        raise
    _report(options["dataset"], summary, profile)


def _report(dataset: str, summary: job.Summary, profile: bool) -> None:
    good, names = summary.pictures - summary.bad, ", ".join(summary.columns)
    click.echo(
        f"{dataset}: {plural(summary.shards, 'shard')} made, {summary.skipped} existed; "
        f"{good:,} of {plural(summary.pictures, 'picture')}; columns {names}"
    )
    if profile:
        click.echo(stages.describe(summary.stages, summary.made, summary.workers, summary.seconds))


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM end the command with status 130 and 143; no shard is left half-written."""
    try:
        with job.signals():
            yield
    except job.Interrupted as stop:
        click.echo(f"stopped by {stop}; finished shards are kept, repeat the command to resume", err=True)
        sys.exit(128 + stop.signum)


@main.command(
    "measure",
    epilog="Example: distort measure val --metrics ms-ssim,psnr-y,time --columns jpeg-10,webp-20. "
    "'distort measure --list' prints all metrics.",
)
@click.argument("dataset")
@click.option(
    "--metrics",
    required=True,
    type=Checked("names", quality.parse_metrics),
    help="Comma-separated names; time is encode-time and decode-time.",
)
@click.option("--columns", type=NAMES, help="Comma-separated names.  [default: all columns but the clean one]")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list_metrics, help="Print all metrics."
)
@PART
@ADDRESS
@ENGINE
@WORKERS
def measure_command(**options: Any) -> None:
    """Measure more metrics of the pictures in DATASET, which 'report build' then shows.

    They go into new files, COLUMN/metrics/NAME/NNNNNN.parquet; nothing else is changed. Repeat the command to
    resume it. The times are medians over 50 pictures, measured by one process after all other metrics.
    """
    _refuse_useless(options)
    with _stoppable():
        done = measuring.measure(**options, quiet=False)
    click.echo(
        f"{options['dataset']}: {done.measured} files of {', '.join(done.metrics)} written, "
        f"{done.skipped} were there; columns {', '.join(done.columns)}"
    )


@main.command(epilog="Example: distort status s3://bucket/val")
@click.argument("dataset")
def status(dataset: str) -> None:
    """Print DATASET's progress, on any machine: shards done, running and missing, images/s, ETA, bad pictures."""
    click.echo(looking.describe(Dataset(dataset)))


@main.command(
    context_settings={"allow_interspersed_args": False},
    epilog="Example: distort slurm --cpus 16 --time 8:00:00 --sbatch=--partition=cpu --submit "
    "run imagenet/val /scratch/val --distortions paper",
)
@click.option("--cpus", type=click.IntRange(1), default=8, show_default=True, help="Cores per task.")
@TIME
@click.option(
    "--tasks", type=click.IntRange(1, scripts.MOST), help="Size of the array.  [default: one per CPUS shards]"
)
@click.option(
    "--sbatch",
    "extra",
    multiple=True,
    type=Checked("option", check_sbatch),
    help="A further option for sbatch, as in --sbatch=--account=x.",
)
@click.option(
    "--submit", is_flag=True, help="Submit the script, followed by 'shards verify', instead of printing."
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def slurm(
    context: click.Context, cpus: int, time: str, tasks: int | None, extra: tuple[str, ...], submit: bool,
    command: tuple[str, ...],
) -> None:  # fmt: skip
    """Print a Slurm array script for COMMAND: 'run SOURCE DATASET …' or 'add DATASET …' with their options.

    The plan of 'run' is made at once; every task of the array then makes its share of the shards. Repeat the
    command to make missing shards.
    """
    name, *arguments = command
    if name not in ("run", "add"):
        raise click.UsageError(f"expected run or add, got '{name}', as in: distort slurm run SOURCE DATASET …")
    ours = {option for parameter in context.command.params for option in parameter.opts}
    for word in arguments:
        if (option := word.partition("=")[0]) in ours:
            raise click.UsageError(f"{option} belongs before '{name}': distort slurm {option} … {name} …")
    options = main.commands[name].make_context(f"slurm {name}", arguments, parent=context.parent).params
    scripts.check(command, extra, submit)
    dataset, wanted, any_version = options["dataset"], options["distortions"], options["any_version"]
    if name == "run":
        prepared = api.prepare_run(
            dataset, wanted, _planning(options), planned=options["planned"], again=options["retry"],
            any_version=any_version, say=_say,
        )  # fmt: skip
    else:
        prepared = api.prepare_add(dataset, wanted, any_version=any_version, look_only=not submit)
    planned = ["--planned"] if name == "run" and not options["planned"] else []
    array = scripts.Array(prepared.dataset, prepared.unfinished(), cpus, time, tasks, extra, [*command, *planned])
    click.echo(array.submit() if submit else array.script(), nl=submit)


@main.command("list", epilog="Example: distort run pictures out --distortions jpeg-10,noise-20+jpeg-10")
def list_distortions() -> None:
    """Print all codecs and filters: example, range and meaning of the number, file extension."""
    rows, options = [], []
    for name in codecs.names():
        try:
            step = codecs.load(name)
        except ImportError as error:
            rows.append([name, "–", "–", f"cannot be loaded: {error}"])
            continue
        extension = f".{step.extension}" if issubclass(step, Codec) else "–"
        limits = f"{step.low:g}..{step.high:g}" if step.parameter else "–"
        rows.append([step.example, limits, extension, step.meaning])
        options += [[f"{step.example}:{option}", what] for option, what in step.options.items()]
    click.echo(table(["example", "range", "file", "meaning"], rows, left=(0, 3)))
    click.echo("\n" + table(["option", "what it does"], options, left=(0, 1)))
    click.echo("\nchains: a+b distorts twice, the rate is that of the last codec, as in noise-20+jpeg-10")
    click.echo("a+crop distorts the whole source picture, then crops it, as in jpeg-10+crop ('distort run' only)")
    for preset, names in PRESETS.items():
        click.echo(f"preset {preset}: {', '.join(names)}")


@main.command(epilog="Example: distort preview cat.jpg sheet.png --distortions paper")
@click.argument("picture", type=PathType(exists=True, dir_okay=False))
@click.argument("out", type=PathType(dir_okay=False))
@DISTORTIONS
@CROP
@EXIF
@SSIM
def preview(picture: str, out: str, distortions: str, crop: str, exif_orientation: bool, ssim: str) -> None:
    """Draw PICTURE under every distortion, labelled with bytes, PSNR and SSIM, into OUT (Fig. 3).

    OUT is a new file; nothing is overwritten.
    """
    path, target = Path(picture), Path(out)
    if os.path.lexists(target):
        raise DatasetError(f"{out} exists and is not overwritten; choose another name, or delete it")
    if Image.registered_extensions().get(target.suffix.lower()) not in Image.SAVE:
        raise DatasetError(f"{out}: '{target.suffix}' is no picture format that can be written; use .png")
    if not target.parent.is_dir():
        raise DatasetError(f"{out}: there is no folder {target.parent}; create it first")
    try:
        image = pictures.load(sources.read(str(path.parent), path.name), exif_orientation)
        key = path.stem.encode("utf-8", "backslashreplace").decode()
        way = crops.parse(crop)
        crop_key, clean = way.apply(image, 0, key)[0]
    except pictures.BadPicture as error:
        raise DatasetError(f"{picture}: {error}") from None
    reference = Reference(clean, ssim)
    panels = [sheet.Panel("clean", clean, None, math.inf, 1.0)]
    for distortion in parse_list(distortions):
        given = np.asarray(image) if distortion.on_source else clean
        rng = generator(0, key, distortion.name)
        try:
            made = distortion.apply(given, LOSSLESS["webp"], rng, cut=way.again(0, crop_key))
        except RuntimeError as error:
            raise DatasetError(f"{picture}: {distortion.name}: {error}") from error
        panels.append(
            sheet.Panel(distortion.name, made.rgb, made.bytes, reference.psnr(made.rgb), reference.ssim(made.rgb))
        )
    sheet.draw(panels).save(target)
    click.echo(f"{out}: {len(panels)} panels of {clean.shape[1]}x{clean.shape[0]}")
