"""Everything a report shows, as tidy tables: collected once, read-only afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from report import accuracy, gather, groups, metrics, published, results, significance
from report.answers import Answers
from report.deltas import Deltas
from shards.dataset import Dataset


@dataclass(frozen=True)
class Contents:
    """All tidy tables of the report, including the rows of published tables."""

    datasets: dict[str, Dataset]
    measured: pa.Table
    runs: pa.Table
    accuracy: pa.Table
    matrix: pa.Table
    gains: pa.Table
    tests: pa.Table
    deltas: pa.Table
    calibration: pa.Table
    confusion: pa.Table
    metrics: pa.Table = field(default_factory=metrics.METRICS.empty_table)
    groups: list[groups.RunGroup] = field(default_factory=list)
    answers: Answers = field(default_factory=Answers)
    published: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  #: what a reader has to know before trusting a number

    @property
    def own_gains(self) -> pa.Table:
        """``gains`` without those of published tables, which have gains only at the columns trained on."""
        return self.gains.filter(pc.is_in(self.gains["dataset"], pa.array(list(self.datasets), pa.string())))


def collect(
    datasets: Sequence[Dataset],
    results_files: Sequence[Path] = (),
    published_tables: Sequence[dict] = (),
    anchor: str | None = None,
) -> Contents:
    """Read all data of a report. Raises ValueError if datasets and results do not belong together.

    ``anchor`` names the reference codec or method of BD-rates; None: the first one.
    """
    if not datasets and not published_tables:
        raise ValueError("nothing to report: give a dataset, or --published with the name of a published table")
    if results_files and not datasets:
        raise ValueError("results need the dataset that they were measured on: give it too")
    labels = gather.labelled(datasets)
    own = gather.measured(datasets)
    runs, answers, behaviour = results.runs(results_files, labels)
    found = groups.grouped(runs.to_pylist())
    pictures = gather.PictureTables(labels, answers)
    gains = significance.gains(found, answers)
    measured, scores = [own], [accuracy.accuracy(found, own, answers)]
    for table in published_tables:
        measured.append(published.measured(table))
        scores.append(published.accuracy(table, measured[-1]))
    together, scored = pa.concat_tables(measured), pa.concat_tables(scores)
    all_gains = pa.concat_tables([gains, *map(published.gains, scores[1:])])
    further, left_out = metrics.metrics(labels, own)
    deltas = Deltas(pictures, found, answers).table(together, scored, all_gains, anchor, further)
    curves = {row[side] for row in deltas.select(["anchor", "test"]).to_pylist() for side in ("anchor", "test")}
    if anchor and anchor not in curves:
        raise ValueError(f"no curve '{anchor}' to compare with: there are {', '.join(sorted(curves)) or 'none'}")
    return Contents(
        labels,
        together,
        runs,
        scored,
        accuracy.matrix(found, answers),
        all_gains,
        significance.tests(found, answers),
        deltas,
        behaviour.calibration(found),
        behaviour.confusion(found, {label: data.plan.classes or () for label, data in labels.items()}),
        further,
        found,
        answers,
        list(published_tables),
        [
            *results.limited(results_files),
            *gather.incomplete(own),
            *left_out,
            *foreign_columns(runs, own),
            *partial(runs, own),
            *unrecorded(found),
        ],
    )


def foreign_columns(runs: pa.Table, measured: pa.Table) -> list[str]:
    """One sentence per column that is in the results but not in the dataset: its rate is unknown."""
    have = {(row["dataset"], row["distortion"]) for row in measured.to_pylist()}
    missing = sorted({(row["dataset"], row["distortion"]) for row in runs.to_pylist()} - have)
    return [
        f"{dataset} has no column {name}, though results were measured on it: its rate, PSNR and SSIM are blank."
        for dataset, name in missing
    ]


def partial(runs: pa.Table, measured: pa.Table) -> list[str]:
    """One sentence per dataset whose results cover a different number of samples than its columns have."""
    samples = {(row["dataset"], row["distortion"]): row["samples"] for row in measured.to_pylist()}
    counts: dict[str, set] = {}
    for run in runs.to_pylist():
        whole = samples.get((run["dataset"], run["distortion"]))
        if whole not in (None, run["n"]):
            counts.setdefault(run["dataset"], set()).add((run["n"], whole))
    return [
        f"{dataset}: some accuracies are over {least[0]:,} samples, but rate, PSNR and SSIM over {least[1]:,}."
        for dataset, least in ((dataset, min(found)) for dataset, found in sorted(counts.items()))
    ]


def unrecorded(found: Sequence[groups.RunGroup]) -> list[str]:
    """A sentence if trained models do not record their starting weights: pairs then cannot be checked."""
    silent = sorted({group.arch for group in found if group.trained_on is not None and group.start is None})
    if not silent:
        return []
    return [
        f"{', '.join(silent)}: some results do not say the starting weights; comparisons take them to be "
        "the same. 'train evaluate' writes them now."
    ]
