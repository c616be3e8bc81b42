"""``results.json``: accuracy per model and column, with intervals, and the per-sample answers beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from train.engine.checkpoint import write_atomically

SCHEMA = 1
Z = 1.959963984540054  #: normal quantile of a two-sided 95 % interval


def wilson(right: int, n: int) -> list[float]:
    """95 % score interval of a proportion (Wilson 1927), as fractions. ``[0, 1]`` without samples."""
    if n == 0:
        return [0.0, 1.0]
    p, z2 = right / n, Z * Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return [0.0 if right == 0 else max(centre - half, 0.0), 1.0 if right == n else min(centre + half, 1.0)]


def column_result(loss: np.ndarray, top1: np.ndarray, top5: np.ndarray) -> dict:
    """Of the cross-entropy and the two kinds of correctness of every sample."""
    n, first, five = len(loss), int(top1.sum()), int(top5.sum())
    return {
        "n": n,
        "top1": first / n,
        "top1_interval": wilson(first, n),
        "top5": five / n,
        "top5_interval": wilson(five, n),
        "loss": float(loss.mean(dtype=np.float64)),
    }


def write(out: Path, dataset: dict, results: list[dict], samples: list[pa.Table]) -> None:
    """Write OUT and, before it, OUT's ``.K.parquet`` files with ``samples[K]`` of ``results[K]``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    named = []
    for k, (result, table) in enumerate(zip(results, samples, strict=True)):
        file = out.with_name(f"{out.stem}.{k}.parquet")
        write_atomically(file, lambda path, table=table: pq.write_table(table, path, compression="zstd"))
        named.append({**result, "samples": file.name})
    contents = {"schema": SCHEMA, "dataset": dataset, "results": named}
    text = json.dumps(contents, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(out, lambda path: path.write_text(text))
