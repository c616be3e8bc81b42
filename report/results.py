"""Results files of ``train evaluate``: read, checked against the datasets, as the tidy table ``runs``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shards.dataset import Dataset

SCHEMA = 1
FILE = "results.json"

#: One row per evaluated model and column. Accuracies are fractions, ``low`` and ``high`` their 95 % interval.
RUNS = pa.schema(
    [
        *((name, pa.string()) for name in ("file", "dataset", "plan", "arch", "method", "trained_on")),
        ("seed", pa.int64()),
        *((name, pa.string()) for name in ("weights", "protocol", "distortion")),
        ("n", pa.int64()),
        *((name, pa.float64()) for name in ("top1", "top1_low", "top1_high", "top5", "loss")),
        ("samples", pa.string()),
    ]
)


class ResultsError(ValueError):
    """A results file is damaged or of another dataset; the message names it and says what to do."""


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The results files among and below ``paths``, in a fixed order. Raises ResultsError when a path has none."""
    found: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(path.rglob(FILE)) if path.is_dir() else [path] if path.is_file() else []
        if not inside:
            raise ResultsError(f"{path}: no {FILE} there; 'train evaluate' writes one")
        found += [file for file in inside if file not in found]
    return found


def runs(files: Sequence[Path], datasets: Mapping[str, Dataset]) -> pa.Table:
    """Read results files; ``datasets`` are those of the report by their short names.

    A model that several files evaluate on a column counts once. Raises ResultsError for a damaged file, and for
    one that was measured on a dataset that is not among ``datasets``.
    """
    rows: dict[tuple, dict] = {}
    for file in files:
        contents = load(file)
        mine = {label: data for label, data in datasets.items() if data.plan.hash == contents["dataset"]["plan"]}
        if not mine:
            raise ResultsError(_foreign(file, contents["dataset"], datasets))
        for position, result in enumerate(contents["results"]):
            for row in _rows(file, position, result, mine, contents["dataset"]["plan"]):
                identity = ("weights", "arch", "method", "protocol", "trained_on", "seed", "plan", "distortion")
                rows.setdefault(tuple(row[field] for field in identity), row)
    table = list(rows.values())
    protocols: dict[str, set] = {}
    for row in table:
        protocols.setdefault(row["method"], set()).add(row["protocol"])
    for row in table:
        if len(protocols[row["method"]]) > 1:  # never averaged as if they were seeds of one method
            row["method"] = f"{row['method']} ({row['protocol']})"
    return pa.Table.from_pylist(table, schema=RUNS)


def load(file: Path) -> dict:
    """The checked contents of one results file."""
    try:
        contents = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ResultsError(
            f"{file} is cut off or not a results file ({error}); run 'train evaluate' again"
        ) from None
    if not isinstance(contents, dict) or contents.get("schema") != SCHEMA:
        raise ResultsError(f"{file} is not of schema {SCHEMA}, the only one this version reads")
    dataset = contents.get("dataset")
    if not isinstance(dataset, dict) or "plan" not in dataset or not isinstance(contents.get("results"), list):
        raise ResultsError(f"{file} lacks 'dataset' with its 'plan', or 'results'; run 'train evaluate' again")
    return contents


def _rows(file: Path, position: int, result: dict, datasets: Mapping[str, Dataset], plan: str) -> Iterable[dict]:
    where = f"{file}, results[{position}]"
    try:
        model = result["model"]
        samples = result.get("samples")
        for name, values in result["columns"].items():
            top1, interval = values["top1"], values.get("top1_interval") or (None, None)
            if top1 is None:  # no sample of it was tested: a blank, not a zero
                continue
            if not 0 <= top1 <= 1:
                raise ResultsError(f"{where}: top1 of '{name}' is {top1}, not a fraction between 0 and 1")
            yield {
                "file": str(file),
                "dataset": next((k for k, data in datasets.items() if name in data.columns), next(iter(datasets))),
                "plan": plan,
                "arch": model["arch"],
                "method": model["method"],
                "trained_on": model.get("trained_on"),
                "seed": model.get("seed"),
                "weights": model.get("weights_sha256"),
                "protocol": _text(model.get("protocol")),
                "distortion": name,
                "n": values["n"],
                "top1": top1,
                "top1_low": interval[0],
                "top1_high": interval[1],
                "top5": values.get("top5"),
                "loss": values.get("loss"),
                "samples": str(file.parent / samples) if samples else None,
            }
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ResultsError(f"{where} lacks or garbles {error}; run 'train evaluate' again") from None


def _text(protocol) -> str | None:
    return protocol if protocol is None or isinstance(protocol, str) else json.dumps(protocol, sort_keys=True)


def _foreign(file: Path, dataset: dict, datasets: Mapping[str, Dataset]) -> str:
    given = ", ".join(f"{label} (plan {data.plan.hash[:12]})" for label, data in datasets.items()) or "none"
    return (
        f"{file} was measured on {dataset.get('path', 'a dataset')} (plan {str(dataset['plan'])[:12]}), which is "
        f"not among the datasets given: {given}. Give that dataset too, or leave these results out"
    )


def correctness(samples: str | Path, distortion: str) -> dict[str, bool] | None:
    """Key -> whether top-1 was right, for one column of a per-sample file; None when the file lacks the column.

    Raises ResultsError when the file is damaged, or a key is there twice.
    """
    try:
        names = pq.read_schema(samples).names
        if distortion not in names:
            return None
        table = pq.read_table(samples, columns=["key", distortion], use_threads=False)
    except FileNotFoundError:
        raise ResultsError(
            f"{samples} is missing; copy it beside its {FILE}, or run 'train evaluate' again"
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(f"{samples} is damaged: {error}; run 'train evaluate' again") from None
    right = dict(zip(table["key"].to_pylist(), table[distortion].to_pylist(), strict=True))
    if len(right) != len(table):
        raise ResultsError(f"{samples}: the same key is there twice; run 'train evaluate' again")
    return {key: value for key, value in right.items() if value is not None}
