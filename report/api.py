"""The report from Python; the command is a thin layer over it."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from report import contents, published, writing
from report.contents import Contents
from shards.dataset import Dataset
from shards.results import find

Folder = str | PathLike[str]


def build(
    datasets: Folder | Sequence[Folder],
    *,
    results: Folder | Sequence[Folder] = (),
    published: Sequence[str] = (),
    out: Folder,
    title: str | None = None,
    key: str | None = None,
    anchor: str | None = None,
    pdf: bool = False,
    pictures: int = 4,
) -> Path:
    """Write ``out/index.html``, tables and figures; returns the page.

    ``results`` are ``results.json`` files of ``train.evaluate``, or folders that hold some. ``published`` names
    values to put beside the measured ones, e.g. ``marie2022``. ``title`` is the heading, ``key`` the sample on the
    artifact sheet, ``anchor`` the reference codec or method of BD-rates. ``pdf`` adds figures as PDFs for papers;
    ``pictures`` is the length of a list in the picture browser.
    Raises ValueError, with what to do, when datasets and results do not belong together, when one
    is damaged, or when ``out`` is in use for something else.

    >>> import report
    >>> report.build("val", results=["runs"], out="report")
    PosixPath('report/index.html')
    """
    target = Path(out)
    writing.require_free(target)
    found = collect(_listed(datasets), _listed(results), published, anchor)
    writing.build(found, target, title or writing.default_title(found), key, pdf, pictures)
    return target / "index.html"


def collect(
    datasets: Sequence[Folder],
    results: Sequence[Folder] = (),
    names: Sequence[str] = (),
    anchor: str | None = None,
) -> Contents:
    """The tidy tables of a report: rates and quality of datasets, accuracies, published values."""
    opened = [Dataset(folder) for folder in datasets]
    runs = [Path(file) for file in results]
    return contents.collect(opened, find(runs), [published.load(name) for name in names], anchor)


def _listed(paths: Folder | Sequence[Folder]) -> Sequence[Folder]:
    return [paths] if isinstance(paths, str | PathLike) else paths
