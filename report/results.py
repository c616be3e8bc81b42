"""Read results files into the tidy table ``runs``, checked against the datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from report.answers import Answers
from report.behaviour import Behaviour
from shards.dataset import Dataset
from shards.results import Result, Results, ResultsError, check_samples, load, read_samples

#: One row per evaluated model and column. Accuracies are fractions, ``low`` and ``high`` their 95 % interval;
#: ``settings`` is a JSON object with sorted keys.
RUNS = pa.schema(
    [
        *((name, pa.string()) for name in ("file", "dataset", "plan", "arch", "method", "title", "trained_on")),
        ("everywhere", pa.bool_()),
        ("seed", pa.int64()),
        *((name, pa.string()) for name in ("weights", "protocol", "settings", "distortion")),
        ("n", pa.int64()),
        *((name, pa.float64()) for name in ("top1", "top1_low", "top1_high", "top5", "loss")),
        ("samples", pa.string()),
    ]
)
ALL_CLASSES = "all"
IDENTITY = ("weights", "arch", "method", "protocol", "settings", "trained_on", "seed", "plan", "distortion")


def runs(files: Sequence[Path], datasets: Mapping[str, Dataset]) -> tuple[pa.Table, Answers, Behaviour]:
    """Read results files; ``datasets`` are those of the report by their short names.

    A model that several files evaluate on a column counts once. Raises ResultsError for a damaged file, for scores
    that are not those of the per-sample file, for results of a dataset that is not among ``datasets``, and for
    results of one dataset that were counted among different sets of classes.
    """
    counted: dict[str, tuple[str, Path]] = {}
    plans: dict[str, dict[str, Dataset]] = {}
    for label, data in datasets.items():
        plans.setdefault(data.plan.hash, {})[label] = data
    rows: dict[tuple, dict] = {}
    answers, behaviour = Answers(), Behaviour()
    for file in files:
        contents = load(file)
        if contents.plan not in plans:
            raise ResultsError(_foreign(file, contents, datasets))
        classes = str(contents.evaluation.get("classes", ALL_CLASSES))
        theirs, first = counted.setdefault(contents.plan, (classes, file))
        if theirs != classes:
            raise ResultsError(
                f"{first} counts answers among {theirs} classes, {file} among {classes}: these accuracies cannot "
                "be compared; evaluate both with or both without --present-classes, or make two reports"
            )
        for k, result in enumerate(contents.results):
            new = []
            for row in _rows(file, result, plans[contents.plan], contents.plan):
                if rows.setdefault(tuple(row[field] for field in IDENTITY), row) is row:
                    new.append(row["distortion"])
            if result.samples and new:
                table = read_samples(file.parent / result.samples)
                check_samples(result, table, f"{file}, results[{k}]")
                answers.add(contents.plan, str(file.parent / result.samples), table, new)
                behaviour.add(str(file.parent / result.samples), table, filter(result.model.counts_at, new))
    return pa.Table.from_pylist(list(rows.values()), schema=RUNS), answers, behaviour


def _rows(file: Path, result: Result, datasets: Mapping[str, Dataset], plan: str) -> Iterable[dict]:
    model = result.model
    for name, score in result.columns.items():
        if score.top1 is None:  # no sample of it was tested: a blank, not a zero
            continue
        low, high = score.top1_interval or (None, None)
        yield {
            "file": str(file),
            "dataset": next((k for k, data in datasets.items() if name in data.columns), next(iter(datasets))),
            "plan": plan,
            "arch": model.arch,
            "method": model.method,
            "title": model.title,
            "trained_on": model.trained_on,
            "everywhere": model.counts_everywhere,
            "seed": model.seed,
            "weights": model.weights_sha256,
            "protocol": model.protocol,
            "settings": json.dumps(dict(model.settings), sort_keys=True, ensure_ascii=False),
            "distortion": name,
            "n": score.n,
            "top1": score.top1,
            "top1_low": low,
            "top1_high": high,
            "top5": score.top5,
            "loss": score.loss,
            "samples": str(file.parent / result.samples) if result.samples else None,
        }


def _foreign(file: Path, contents: Results, datasets: Mapping[str, Dataset]) -> str:
    given = ", ".join(f"{label} (plan {data.plan.hash[:12]})" for label, data in datasets.items()) or "none"
    return (
        f"{file} was measured on {contents.path} (plan {contents.plan[:12]}), which is "
        f"not among the datasets given: {given}. Give that dataset too, or leave these results out"
    )


def limited(files: Sequence[Path]) -> list[str]:
    """A note if accuracies are over a subset of the networks' classes; ``runs`` checked that all agree."""
    if any(load(file).evaluation.get("classes", ALL_CLASSES) != ALL_CLASSES for file in files):
        return [
            "Accuracies are among the classes that occur in the dataset, not among all that the networks know "
            "(train evaluate --present-classes)."
        ]
    return []
