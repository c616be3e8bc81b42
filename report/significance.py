"""McNemar's exact test: are two methods' accuracies different on the same pictures? (McNemar 1947)"""

from __future__ import annotations

import functools
from itertools import combinations

import pyarrow as pa

from report import names, results
from report.accuracy import method_order

#: ``only_a`` and ``only_b`` count the pictures that one of the two gets right; ``gain`` is in percentage points.
#: ``holm`` is ``p`` corrected for all tests of the report (Holm 1979).
TESTS = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "arch", "distortion", "a", "b")),
        ("seed", pa.int64()),
        ("n", pa.int64()),
        ("only_a", pa.int64()),
        ("only_b", pa.int64()),
        ("gain", pa.float64()),
        ("p", pa.float64()),
        ("holm", pa.float64()),
    ]
)


def tests(runs: pa.Table) -> pa.Table:
    """Method against method at every column, seed by seed, for models tested where they were trained.

    A run without a seed (a pre-trained model) is compared with every seed. Runs without per-sample results are
    left out.
    """
    cells: dict[tuple, list[dict]] = {}
    for run in runs.to_pylist():
        if run["samples"] and run["trained_on"] in (None, run["distortion"]):
            cells.setdefault((run["dataset"], run["arch"], run["distortion"]), []).append(run)
    read = functools.lru_cache(64)(results.correctness)
    rows = []
    for (dataset, arch, distortion), members in cells.items():
        members.sort(key=lambda run: (method_order(run["method"]), run["seed"] is not None, run["seed"] or 0))
        for b, a in combinations(members, 2):
            if a["method"] == b["method"] or (None not in (a["seed"], b["seed"]) and a["seed"] != b["seed"]):
                continue
            right_a, right_b = read(a["samples"], distortion), read(b["samples"], distortion)
            if right_a is None or right_b is None:
                continue
            pair = paired(right_a, right_b)
            seed = a["seed"] if a["seed"] is not None else b["seed"]
            where = {"dataset": dataset, "arch": arch, "distortion": distortion, "seed": seed}
            rows.append({**where, "a": a["method"], "b": b["method"], **pair})
    rows.sort(key=lambda row: (row["dataset"], row["arch"], names.order(row["distortion"])))
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["holm"] = adjusted
    return pa.Table.from_pylist(rows, schema=TESTS)


def paired(a: dict[str, bool], b: dict[str, bool]) -> dict:
    """The test on the pictures that both have: key -> whether the prediction was right."""
    keys = a.keys() & b.keys()
    only_a = sum(a[key] and not b[key] for key in keys)
    only_b = sum(b[key] and not a[key] for key in keys)
    gain = 100 * (only_a - only_b) / len(keys) if keys else None
    return {"n": len(keys), "only_a": only_a, "only_b": only_b, "gain": gain, "p": mcnemar(only_a, only_b)}


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p: under the null ``only_a`` is binomial with one half. 1 without any discord."""
    from scipy.stats import binomtest

    return binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0


def holm(ps: list[float]) -> list[float]:
    """p-values corrected for their number, step down (Holm 1979)."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = largest
    return adjusted
