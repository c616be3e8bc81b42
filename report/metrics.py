"""The tidy table ``metrics``: what ``distort measure`` has added to the columns of the datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from report.gather import MEASURED
from shards import metrics as files
from shards.dataset import Dataset
from shards.errors import DatasetError

_PLACE = ("dataset", "distortion", "series", "codec", "value", "chained", "bytes_mean", "bpp_mean")
#: One row per dataset, distortion and metric. ``mean``, ``std`` (over pictures) and ``median`` are over the
#: ``samples`` pictures for which the metric is defined. ``sampled``: of a few pictures only, so the median counts.
METRICS = pa.schema(
    [
        *(MEASURED.field(name) for name in _PLACE),
        ("metric", pa.string()),
        ("title", pa.string()),
        ("unit", pa.string()),
        ("higher_is_better", pa.bool_()),
        ("sampled", pa.bool_()),
        ("machine", pa.string()),
        ("samples", pa.int64()),
        ("undefined", pa.int64()),
        *((name, pa.float64()) for name in ("mean", "std", "median")),
    ]
)


def metrics(datasets: Mapping[str, Dataset], measured: pa.Table) -> tuple[pa.Table, list[str]]:
    """The table, and a sentence for every metric that is left out because it does not cover its column."""
    rows, notes = [], []
    for row in measured.to_pylist():
        data = datasets[row["dataset"]]
        for name in data.metrics(row["distortion"]):
            try:
                found = _summary(data, row["distortion"], name)
            except DatasetError as error:
                notes.append(f"{name} of {row['distortion']} is left out: {error}.")
                continue
            rows.append({field: row[field] for field in _PLACE} | found)
    return pa.Table.from_pylist(rows, schema=METRICS), notes


def _summary(data: Dataset, column: str, name: str) -> dict:
    """Raises DatasetError when files are missing, damaged or stale, or were not measured in the same way."""
    there = sorted(files.shards_of(data, column, name))
    parts = [files.read(data, column, name, shard) for shard in there]
    metric = parts[0].metric
    if any(part.metric != metric for part in parts):
        raise DatasetError("its shards were measured in different ways; 'distort measure' measures them again")
    missing = set() if metric.get("sampled") else data.committed(column) - set(there)
    if missing:
        raise DatasetError(f"it lacks {len(missing)} of {len(data.committed(column))} shards; run distort measure")
    values = np.array([np.nan if v is None else v for part in parts for v in part.values], np.float64)
    kept = values[~np.isnan(values)]
    return {
        "metric": name,
        "title": metric.get("title") or name,
        "unit": metric.get("unit") or "",
        "higher_is_better": bool(metric.get("higher_is_better", True)),
        "sampled": bool(metric.get("sampled")),
        "machine": metric.get("machine"),
        "samples": len(kept),
        "undefined": len(values) - len(kept),
        "mean": float(kept.mean()) if len(kept) else None,
        "std": float(kept.std(ddof=1)) if len(kept) > 1 else None,
        "median": float(np.median(kept)) if len(kept) else None,
    }


def heading(row: dict) -> str:
    """The metric as an axis or a column calls it: "PSNR-Y (dB)"."""
    return f"{row['title']} ({row['unit']})" if row["unit"] else row["title"]


def typical(row: dict) -> float | None:
    """The median of a metric measured on a sample, else the mean."""
    return row["median"] if row["sampled"] else row["mean"]


def digits(rows: Sequence[dict]) -> int:
    """Decimals that tell values of this size apart: four up to 1, else two."""
    return 4 if all(abs(value) <= 1 for row in rows if (value := typical(row)) is not None) else 2
