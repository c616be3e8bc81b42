"""What results files say, checked against the datasets, as the tidy table ``runs``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from shards.dataset import Dataset
from shards.results import Result, Results, ResultsError, load, read_samples

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
IDENTITY = ("weights", "arch", "method", "protocol", "settings", "trained_on", "seed", "plan", "distortion")


def runs(files: Sequence[Path], datasets: Mapping[str, Dataset]) -> pa.Table:
    """Read results files; ``datasets`` are those of the report by their short names.

    A model that several files evaluate on a column counts once. Raises ResultsError for a damaged file, and for
    one that was measured on a dataset that is not among ``datasets``.
    """
    plans: dict[str, dict[str, Dataset]] = {}
    for label, data in datasets.items():
        plans.setdefault(data.plan.hash, {})[label] = data
    rows: dict[tuple, dict] = {}
    for file in files:
        contents = load(file)
        if contents.plan not in plans:
            raise ResultsError(_foreign(file, contents, datasets))
        for result in contents.results:
            for row in _rows(file, result, plans[contents.plan], contents.plan):
                rows.setdefault(tuple(row[field] for field in IDENTITY), row)
    table = list(rows.values())
    protocols: dict[str, set] = {}
    for row in table:
        protocols.setdefault(row["method"], set()).add(row["protocol"])
    for row in table:
        if len(protocols[row["method"]]) > 1:  # never averaged as if they were seeds of one method
            row["method"] = f"{row['method']} ({row['protocol']})"
    return pa.Table.from_pylist(table, schema=RUNS)


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


def correctness(samples: str | Path, distortion: str) -> dict[str, bool] | None:
    """Key -> whether top-1 was right, for one column of a per-sample file; None when the file lacks the column.

    Raises ResultsError when the file is damaged.
    """
    table = read_samples(Path(samples), ["key", distortion])
    if distortion not in table.column_names:
        return None
    right = dict(zip(table["key"].to_pylist(), table[distortion].to_pylist(), strict=True))
    return {key: value for key, value in right.items() if value is not None}
