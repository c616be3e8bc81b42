"""From ``runs`` to what tables and figures show: ``accuracy`` and ``matrix``, seeds averaged."""

from __future__ import annotations

import statistics

import pyarrow as pa

from report import names
from report.gather import MEASURED

#: The order in which methods are printed; any other comes between, by name.
METHODS = {"pretrained": "pre-trained", "stability": "stability", "finetune": "fine-tuned", "expert": "expert"}
RATES = [field for field in MEASURED if field.name not in ("plan", "samples", "identical")]

_SCORE = [
    ("n", pa.int64()),
    ("seeds", pa.int64()),
    *((name, pa.float64()) for name in ("accuracy", "spread", "low", "high", "top5", "loss")),
]
#: ``accuracy``, ``spread``, ``low``, ``high`` and ``top5`` are in percent. One run: ``low`` and ``high`` are its
#: 95 % interval. Several seeds: their mean, ``spread`` its standard deviation (n - 1), ``low`` and ``high`` one
#: spread away.
ACCURACY = pa.schema([*RATES, ("arch", pa.string()), ("method", pa.string()), *_SCORE])
MATRIX = pa.schema(
    [*((name, pa.string()) for name in ("dataset", "arch", "method", "trained_on", "distortion")), *_SCORE]
)


def accuracy(runs: pa.Table, measured: pa.Table) -> pa.Table:
    """Accuracy of each method at each distortion, with what that distortion costs.

    A model trained on one column counts at that column only, as in Table I; what it does elsewhere is in the
    ``matrix``. A model without a training column counts everywhere.
    """
    rates = {(row["dataset"], row["distortion"]): row for row in measured.to_pylist()}
    groups = _grouped(
        (run for run in runs.to_pylist() if run["trained_on"] in (None, run["distortion"])),
        ("dataset", "arch", "method", "distortion"),
    )
    rows = []
    for (dataset, arch, method, distortion), members in groups.items():
        rate = rates.get((dataset, distortion)) or unmeasured(dataset, distortion)
        kept = {field.name: rate[field.name] for field in RATES}
        rows.append({**kept, "arch": arch, "method": method, **score(members)})
    rows.sort(
        key=lambda row: (row["dataset"], row["arch"], method_order(row["method"]), names.order(row["distortion"]))
    )
    return pa.Table.from_pylist(rows, schema=ACCURACY)


def matrix(runs: pa.Table) -> pa.Table:
    """Accuracy of each method by the column it was trained on and the column it was tested on (Fig. 5)."""
    groups = _grouped(
        (run for run in runs.to_pylist() if run["trained_on"] is not None),
        ("dataset", "arch", "method", "trained_on", "distortion"),
    )
    rows = [
        {
            "dataset": dataset,
            "arch": arch,
            "method": method,
            "trained_on": trained_on,
            "distortion": tested,
            **score(members),
        }
        for (dataset, arch, method, trained_on, tested), members in groups.items()
    ]
    return pa.Table.from_pylist(rows, schema=MATRIX)


def score(runs: list[dict]) -> dict:
    """The mean over the runs of one setting, in percent."""
    values = [100 * run["top1"] for run in runs]
    mean = statistics.fmean(values)
    if len(runs) > 1:
        spread = statistics.stdev(values)
        low, high = mean - spread, mean + spread
    else:
        spread = None
        low, high = (
            None if runs[0][f"top1_{end}"] is None else 100 * runs[0][f"top1_{end}"] for end in ("low", "high")
        )
    top5, loss = ([run[name] for run in runs if run[name] is not None] for name in ("top5", "loss"))
    return {
        "n": min(run["n"] for run in runs),
        "seeds": len(runs),
        "accuracy": mean,
        "spread": spread,
        "low": low,
        "high": high,
        "top5": 100 * statistics.fmean(top5) if top5 else None,
        "loss": statistics.fmean(loss) if loss else None,
    }


def unmeasured(dataset: str, distortion: str) -> dict:
    """A row of ``measured`` without numbers, for a column that the dataset given here lacks."""
    from report.gather import row

    return row(dataset, None, distortion, {})


def method_order(method: str) -> tuple:
    order = ["pretrained", "stability", None, "finetune", "expert"]
    base = method.split(" (")[0]
    return (order.index(base if base in order else None), method)


def method_title(method: str) -> str:
    base, bracket, protocol = method.partition(" (")
    return METHODS.get(base, base) + bracket + protocol


def gain_pair(methods: list[str]) -> tuple[str, str] | None:
    """The two methods whose difference is the gain: expert over fine-tuned as in Table I, else last over first."""
    if {"expert", "finetune"} <= set(methods):
        return "expert", "finetune"
    ordered = sorted(set(methods), key=method_order)
    return (ordered[-1], ordered[0]) if len(ordered) > 1 else None


def _grouped(runs, fields: tuple[str, ...]) -> dict[tuple, list[dict]]:
    groups: dict[tuple, list[dict]] = {}
    for run in runs:
        groups.setdefault(tuple(run[field] for field in fields), []).append(run)
    return groups
