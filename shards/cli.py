"""``shards``: inspect, check and export a dataset."""

from __future__ import annotations

import json
from collections import Counter

import click

from shards import dataset as reading
from shards.console import NAMES, SOMETHING, Bar, Group, names, number, plain, plural, size, table
from shards.export import export as export_columns
from shards.verify import verify as problems_of

DATASET = click.argument("dataset", type=str)


@click.group(cls=Group)
@click.version_option(package_name="codecproof")
def main() -> None:
    """Inspect, check and export a dataset of tar shards."""


@main.command(epilog="Example: shards info val")
@DATASET
def info(dataset: str) -> None:
    """Columns, samples, rate, PSNR, SSIM and versions of DATASET."""
    data = reading.open(dataset)
    plan = data.plan
    classes = "no labels" if plan.classes is None else plural(len(plan.classes), "class", "classes")
    settings = ", ".join(f"{name} {value}" for name, value in plan.settings.items())
    click.echo(
        f"{dataset}: {plural(plan.pictures, 'picture')}, {classes}, "
        f"{plural(plan.shards, 'shard')} of {plan.per_shard}"
    )
    click.echo(f"plan {plan.hash[:12]}: {settings}\n")
    rows = []
    for row in data.stats().to_pylist():
        done = len(data.committed(row["distortion"]))
        same = row["samples"] and row["identical"] == row["samples"]
        rows.append(
            [
                row["distortion"],
                f"{done}/{plan.shards}",
                f"{row['samples']:,}",
                size(row["stored"]),
                number(row["bytes_mean"], 1),
                number(row["bpp_mean"], 3),
                "∞" if same else number(row["psnr_mean"], 2),
                number(row["ssim_mean"], 3),
            ]
        )
    click.echo(table(["column", "shards", "samples", "stored", "bytes", "bpp", "PSNR dB", "SSIM"], rows))
    bad = len(data.errors())
    if bad:
        click.echo(f"\n{plural(bad, 'picture')} could not be read; 'shards errors {dataset}' lists them")
    click.echo("\nmade with")
    for name, column in data.columns.items():
        made = "; ".join(
            ", ".join(f"{library} {version}" for library, version in step["versions"].items())
            for step in column["steps"]
        )
        click.echo(f"  {name}: {made}")


@main.command(epilog="Example: shards errors val")
@DATASET
def errors(dataset: str) -> None:
    """List the pictures of DATASET that could not be read, with the reasons, most common first.

    After fixing the cause, retry them with 'distort run … --retry'.
    """
    data = reading.open(dataset)
    rows = data.errors().to_pylist()
    counts = Counter(row["reason"] for row in rows)
    click.echo(f"{dataset}: {len(rows):,} of {plural(data.plan.pictures, 'picture')} could not be read")
    for reason, count in counts.most_common():
        click.echo(f"\n{count:,} x {plain(reason, keep='')}")
        for row in rows:
            if row["reason"] == reason:
                click.echo(f"  {plain(row['source'], keep='')}")


@main.command(epilog="Example: shards verify val --decode")
@DATASET
@click.option("--decode", is_flag=True, help="Also decode every bitstream and compare its size.")
def verify(dataset: str, decode: bool) -> None:
    """Check every file of DATASET: hashes, counts, keys across columns. Exit status 1 if anything is wrong."""
    data = reading.open(dataset)
    wrong = 0
    with Bar("verify", len(data.columns) * data.plan.shards, "shards") as bar:
        for problem in problems_of(data, decode, lambda done, total: bar.update(done)):
            bar.say(problem, err=False)
            wrong += 1
    if wrong:
        raise click.ClickException(f"{plural(wrong, 'problem')} in {dataset}")
    checked = "hashes, counts, keys and bitstreams" if decode else "hashes, counts and keys"
    click.echo(
        f"{dataset}: {len(data.columns)} columns of {plural(data.plan.shards, 'shard')}, {checked} are correct"
    )


@main.command(epilog="Example: shards show val n01440764_10026")
@DATASET
@click.argument("key")
def show(dataset: str, key: str) -> None:
    """Print the sample KEY as JSON: its rate, PSNR, SSIM and offset in the tar, for every column."""
    data = reading.open(dataset)
    shard, rows = data.find(key)
    found = {name: {"tar": f"{shard:06d}.tar"} | row for name, row in rows.items()}
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


@main.command(epilog="Example: shards export val fat --columns clean,jpeg-10")
@DATASET
@click.argument("out", type=SOMETHING)
@click.option(
    "--columns",
    required=True,
    type=NAMES,
    help="Comma-separated names, in the order of the members in the tars.",
)
def export(dataset: str, out: str, columns: str) -> None:
    """Merge columns of DATASET into tars OUT/NNNNNN.tar, for pipelines that read a single stream.

    OUT is a new or empty folder outside DATASET.
    """
    data = reading.open(dataset)
    with Bar("export", data.plan.shards, "shards") as bar:
        total = export_columns(data, out, names(columns), lambda done, _: bar.update(done))
    click.echo(f"{out}: {total:,} samples of {columns} in {plural(data.plan.shards, 'tar')}")
