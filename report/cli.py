"""The command ``report``: datasets and results to tables, figures and one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from shards.console import SOMETHING, FloatRange, Group, PathType, table

PUBLISHED = click.option(
    "--published",
    type=SOMETHING,
    multiple=True,
    metavar="NAME|FILE",
    help="Published values beside the measured ones: marie2022.",
)
RESULTS = click.option(
    "--results",
    type=SOMETHING,
    multiple=True,
    metavar="RUNS",
    help="results.json of 'train evaluate', or folders that hold some. Several may follow: --results runs/*",
)


class Commands(Group):
    """Names what to install when a library that only reports need is missing."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            library = (error.name or "").partition(".")[0]
            if library not in ("jinja2", "markupsafe", "matplotlib", "scipy"):
                raise
            raise click.ClickException(f"report needs {library}: pip install 'codecproof[report]'") from None


@click.group(cls=Commands)
@click.version_option(package_name="codecproof")
def main() -> None:
    """Turn datasets and results into tables and figures for papers, and into one page."""


@main.command(epilog="Example: report build val --results runs/* --out report --title 'MnasNet on ImageNet'")
@click.argument("paths", metavar="[DATASET…]", nargs=-1)
@RESULTS
@PUBLISHED
@click.option("--out", required=True, type=PathType(file_okay=False, path_type=Path), help="Folder of the report.")
@click.option("--title", help="Heading of the page. Default: the datasets' names.")
@click.option("--key", type=SOMETHING, help="Sample on the artifact sheet. Default: the first one.")
@click.option(
    "--anchor", type=SOMETHING, help="Reference codec or method of BD-rates, e.g. WebP. Default: the first one."
)
@click.option("--pdf", is_flag=True, help="Also write figures as PDFs for papers, one column and one page wide.")
@click.option(
    "--pictures",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    help="Pictures in each list of the page's picture browser; 0: none.",
)
def build(
    paths: tuple[str, ...], results: tuple[str, ...], published: tuple[str, ...], out: Path, title: str | None,
    key: str | None, anchor: str | None, pdf: bool, pictures: int,
) -> None:  # fmt: skip
    """Write OUT/index.html, OUT/tables and OUT/figures from every DATASET.

    A path that holds results.json instead of dataset.json counts as results.
    """
    from report.writing import (  # imported late: --help needs no plotting library
        build,
        default_title,
        require_free,
    )

    require_free(out)
    contents = _collect(paths, results, published, anchor)
    files = build(contents, out, title or default_title(contents), key, pdf, pictures)
    for note in contents.notes:
        click.echo(f"note: {note}", err=True)
    kinds = [sum(name.startswith(kind) for name in files) for kind in ("tables/", "figures/")]
    click.echo(f"{out / 'index.html'}: with {kinds[0]} files of tables and {kinds[1]} of figures beside it")


@main.command(epilog="Example: report compare val --results runs/* --csv compare.csv")
@click.argument("paths", metavar="[DATASET…]", nargs=-1)
@RESULTS
@PUBLISHED
@click.option(
    "--csv", "file", type=PathType(dir_okay=False, path_type=Path), help="Also write the table to this file."
)
def compare(paths: tuple[str, ...], results: tuple[str, ...], published: tuple[str, ...], file: Any) -> None:
    """Print published values (by default those of Marie et al. 2022) beside measured ones."""
    from report.tables.comparisons import digits
    from report.tables.comparisons import published as make
    from report.tables.table import number

    if file:
        _require_ours(file)
    contents = _collect(paths, results, published or ("marie2022",))
    made = make(contents)
    if made is None:
        if not contents.datasets:
            raise click.UsageError("name a dataset to compare")
        have = ", ".join(name for dataset in contents.datasets.values() for name in dataset.columns)
        raise ValueError(f"no column of the datasets has published values; they have {have}")
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(made.csv(), encoding="utf-8")
    rows = [
        [row["dataset"], row["distortion"], row["quantity"]]
        + [
            number(row[name], digits(row), sign=name == "difference").main
            for name in ("published", "measured", "difference")
        ]
        for row in made.records
    ]
    click.echo(
        table(["dataset", "distortion", "what", "published", "measured", "difference"], rows, left=(0, 1, 2))
    )


@main.command(epilog="Example: report choose val --results runs --bytes 400")
@click.argument("paths", metavar="DATASET…", nargs=-1, required=True)
@RESULTS
@PUBLISHED
@click.option("--bytes", "bytes_", type=FloatRange(0, min_open=True, infinite=True),
              help="Budget per picture, on average; inf: no limit.")  # fmt: skip
@click.option("--bpp", type=FloatRange(0, min_open=True), help="Budget in bits per pixel.")
@click.option("--kbps", type=FloatRange(0, min_open=True), help="Budget as a link's kbit/s, with --pps.")
@click.option("--pps", type=FloatRange(0, min_open=True), help="Pictures per second over that link.")
@click.option("--arch", type=SOMETHING, help="Only this network. Default: the best of each.")
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Answers per network.")
def choose(
    paths: tuple[str, ...], results: tuple[str, ...], published: tuple[str, ...], bytes_: float | None,
    bpp: float | None, kbps: float | None, pps: float | None, arch: str | None, top: int,
) -> None:  # fmt: skip
    """Print the codec, quality and method with the highest accuracy within a budget of bytes per picture."""
    from report import choose as chooser
    from report.names import by

    if sum(budget is not None for budget in (bytes_, bpp, kbps)) != 1 or (kbps is None) != (pps is None):
        raise click.UsageError("give one budget: --bytes N, --bpp X, or --kbps X with --pps Y")
    contents = _collect(paths, results, published)
    groups = by(chooser.candidates(contents.accuracy), "dataset", "arch")
    known = list(dict.fromkeys(name for _, name in groups))
    if arch and arch not in known:
        raise ValueError(
            f"no results of {arch}: there are {', '.join(known) or 'none; use --results to add some'}"
        )
    if not groups:
        if results:
            raise ValueError("nothing to choose from: no result is of a column with a bitstream that DATASET has")
        raise ValueError("nothing to choose from: use --results to add tested networks")
    rows, without = [], []
    for (dataset, name), members in groups.items():
        if arch in (None, name):
            pixels = 8 * members[0]["bytes_mean"] / members[0]["bpp_mean"]
            budget = chooser.budget_in_bytes(pixels, bytes_, bpp, kbps, pps)
            try:
                rows += [[dataset, name, *_answer(row)] for row in chooser.affordable(members, budget)[:top]]
            except ValueError as error:
                without.append((members[0]["bytes_mean"], f"{dataset}, {name}: {error}"))
    if not rows:
        raise ValueError(min(without)[1])
    for _, reason in without:
        click.echo(reason, err=True)
    headings = ["dataset", "network", "distortion", "method", "bytes", "bpp", "top-1 (%)", "95 %", "PSNR (dB)"]
    click.echo(table(headings, rows, left=(0, 1, 2, 3)))


def _answer(row: dict) -> list[str]:
    from report.tables.table import number

    interval = "" if row["low"] is None else f"{row['low']:.2f} – {row['high']:.2f}"
    numbers = [
        number(row[name], digits).main for name, digits in (("bytes_mean", 0), ("bpp_mean", 3), ("accuracy", 2))
    ]
    return [row["distortion"], row["label"], *numbers, interval, number(row["psnr_mean"], 2).main]


def _require_ours(file: Path) -> None:
    """Raises ValueError if ``file`` is a url, cannot be written, or exists and no earlier comparison wrote it."""
    from report.compare import COMPARED
    from shards.atomic import require_writable

    require_writable(file, "--csv")
    if file.exists():
        head = file.read_bytes()[:200] if file.is_file() else b""
        if not head.startswith(",".join(COMPARED.names).encode()):
            raise ValueError(f"{file} exists but is not a comparison; choose another --csv")


def _collect(
    paths: Sequence[str], results: Sequence[str], published: Sequence[str], anchor: str | None = None
) -> Any:
    from report.api import collect
    from shards.results import FILE

    runs = [
        path for path in paths if not _is_dataset(path) and (Path(path).name == FILE or _holds_results(path, FILE))
    ]
    return collect([path for path in paths if path not in runs], [*results, *runs], published, anchor)


def _is_dataset(path: str) -> bool:
    return Path(path, "dataset.json").is_file()


def _holds_results(path: str, name: str) -> bool:
    return Path(path).is_dir() and next(Path(path).rglob(name), None) is not None
