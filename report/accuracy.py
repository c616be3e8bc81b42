"""The tidy tables ``accuracy`` and ``matrix`` from groups of runs, averaged over seeds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pyarrow as pa

from report import intervals, names
from report.answers import Answers
from report.gather import MEASURED
from report.gather import row as empty
from report.groups import RunGroup
from shards.dataset import natural

#: The order in which methods are printed; any other comes at None, by name.
ORDER = ["pretrained", "stability", None, "finetune", "expert"]
RATES = [field for field in MEASURED if field.name not in ("plan", "samples", "identical")]

_MODEL = [(name, pa.string()) for name in ("arch", "base", "method", "label")]
_SCORE = [
    ("n", pa.int64()),
    ("seeds", pa.int64()),
    *((name, pa.float64()) for name in ("accuracy", "spread", "low", "high", "top5", "loss")),
]
#: ``base`` is the training method; ``method`` also distinguishes the model from others of that method, and
#: ``label`` is its form for people. ``accuracy``, ``low``, ``high`` (a 95 % interval, see ``intervals``),
#: ``spread`` (standard deviation over seeds, n - 1) and ``top5`` are in percent.
ACCURACY = pa.schema([*RATES, *_MODEL, ("published", pa.bool_()), *_SCORE])
MATRIX = pa.schema(
    [("dataset", pa.string()), *_MODEL, ("trained_on", pa.string()), ("distortion", pa.string()), *_SCORE]
)


def accuracy(groups: Sequence[RunGroup], measured: pa.Table, answers: Answers) -> pa.Table:
    """Accuracy of each method at each distortion, with what that distortion costs.

    A model that was trained for one column counts at that column only, as in Table I; its accuracy elsewhere is
    in the ``matrix``. The method says whether a model counts at every column.
    """
    rates = {(row["dataset"], row["distortion"]): row for row in measured.to_pylist()}
    rows = []
    for group, (dataset, distortion), members in counting(groups):
        rate = rates.get((dataset, distortion)) or empty(dataset, None, distortion, {})
        kept = {field.name: rate[field.name] for field in RATES}
        rows.append({**kept, **described(group), "published": False, **score(members, answers)})
    rows.sort(key=lambda row: (row["dataset"], row["arch"], method_order(row), names.order(row["distortion"])))
    return pa.Table.from_pylist(rows, schema=ACCURACY)


def matrix(groups: Sequence[RunGroup], answers: Answers) -> pa.Table:
    """Accuracy of each method by the column it was trained on and the column it was tested on (Fig. 5)."""
    rows = [
        {
            "dataset": dataset,
            **described(group),
            "trained_on": group.trained_on,
            "distortion": tested,
            **score(members, answers),
        }
        for group in groups
        if group.trained_on is not None
        for (dataset, tested), members in cells(group)
    ]
    return pa.Table.from_pylist(rows, schema=MATRIX)


def cells(group: RunGroup) -> Iterator[tuple[tuple[str, str], list[dict]]]:
    """The runs of a group by dataset and distortion, seeds in order."""
    found: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for run in sorted(group.runs, key=lambda run: -1 if run["seed"] is None else run["seed"]):
        found[run["dataset"], run["distortion"]].append(run)
    return iter(found.items())


def counting(groups: Sequence[RunGroup]) -> Iterator[tuple[RunGroup, tuple[str, str], list[dict]]]:
    """Groups with the datasets and distortions at which they count, and their runs there."""
    for group in groups:
        for place, runs in cells(group):
            if group.counts_at(place[1]):
                yield group, place, runs


def described(group: RunGroup) -> dict[str, str]:
    return {"arch": group.arch, "base": group.method, "method": group.name, "label": group.label}


def score(runs: Sequence[dict], answers: Answers) -> dict:
    """The mean over the seeds of one group at one column, in percent."""
    values = [run["top1"] for run in runs]
    matrix = answers.matrix(runs)
    n = min(run["n"] for run in runs)
    if matrix is not None:
        _, low, high = intervals.proportion(matrix)
    elif len(runs) == 1 and runs[0]["top1_low"] is not None:
        low, high = runs[0]["top1_low"], runs[0]["top1_high"]
    else:
        _, low, high = intervals.without_samples(values, n)
    top5, loss = ([run[name] for run in runs if run[name] is not None] for name in ("top5", "loss"))
    return {
        "n": n,
        "seeds": len(runs),
        "accuracy": 100 * statistics.fmean(values),
        "spread": 100 * statistics.stdev(values) if len(runs) > 1 else None,
        "low": 100 * low,
        "high": 100 * high,
        "top5": 100 * statistics.fmean(top5) if top5 else None,
        "loss": statistics.fmean(loss) if loss else None,
    }


def method_order(row: dict) -> tuple:
    """Sort key of rows with ``base`` and ``label``: pre-trained first, the expert last."""
    base = row["base"]
    return (ORDER.index(base if base in ORDER else None), base, natural(row["label"]))
