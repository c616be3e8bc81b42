"""Paired comparisons of methods on the same pictures: gains with their intervals, and tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa

from report import groups as grouping
from report import intervals, names
from report.accuracy import cells, counting, described, method_order
from report.answers import Answers
from report.groups import RunGroup

#: The gain of each model over its fine-tuned baseline, in percentage points with its 95 % interval, or
#: ``reason`` why there is none. ``remark``: notes on the comparison.
GAINS = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("dataset", "arch", "base", "method", "label", "trained_on", "distortion")
        ),
        *((name, pa.string()) for name in ("baseline", "baseline_label")),
        *((name, pa.int64()) for name in ("seeds", "n")),
        *((name, pa.float64()) for name in ("gain", "low", "high", "p")),
        ("reason", pa.string()),
        ("remark", pa.string()),
    ]
)
#: ``only_a`` and ``only_b`` count the pictures that one of the two gets right, over all seeds. ``gain``, ``low``
#: and ``high`` are in percentage points. ``planned``: model against baseline. ``holm`` is ``p`` corrected for
#: all tests that are planned, or for all others (Holm 1979).
TESTS = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "arch", "distortion", "a", "b", "label_a", "label_b")),
        ("planned", pa.bool_()),
        *((name, pa.int64()) for name in ("seeds", "n", "only_a", "only_b")),
        *((name, pa.float64()) for name in ("gain", "low", "high", "p", "holm")),
    ]
)


def gains(groups: Sequence[RunGroup], answers: Answers) -> pa.Table:
    """The gain of every model trained for a column, at that column and at all others (Fig. 5)."""
    rows = []
    found = grouping.baselines(groups)
    for group in groups:
        if id(group) not in found:
            continue
        base, reason = found[id(group)].group, found[id(group)].reason
        theirs = dict(cells(base)) if base else {}
        for place, members in cells(group):
            row = {
                **dict(zip(("dataset", "distortion"), place, strict=True)),
                **described(group),
                "trained_on": group.trained_on,
                "baseline": base and base.name,
                "baseline_label": base and base.label,
                "seeds": len(members),
                "remark": found[id(group)].remark,
            }
            if base is None or place not in theirs:
                rows.append({**row, "reason": reason or "fine-tuned was not tested there"})
                continue
            rows.append({**row, **gain(members, theirs[place], answers)})
    rows.sort(
        key=lambda row: (row["dataset"], row["arch"], method_order(row), names.order(str(row["trained_on"])))
    )
    return pa.Table.from_pylist(rows, schema=GAINS)


def gain(ours: Sequence[dict], theirs: Sequence[dict], answers: Answers) -> dict:
    """Mean accuracy of ``ours`` minus ``theirs``, in points; without per-sample results no interval."""
    found = difference(ours, theirs, answers)
    plain = 100 * (np.mean([run["top1"] for run in ours]) - np.mean([run["top1"] for run in theirs]))
    if found is None or not found.n:
        return {"gain": plain, "n": min(run["n"] for run in [*ours, *theirs])}
    low, high = found.interval()
    return {"gain": 100 * found.mean, "low": 100 * low, "high": 100 * high, "n": found.n, "p": found.p()}


def difference(a: Sequence[dict], b: Sequence[dict], answers: Answers) -> intervals.Estimate | None:
    """Mean accuracy of ``a`` minus ``b``, paired by picture, and by seed if both have the same seeds."""
    ours, theirs = answers.matrix(a), answers.matrix(b)
    if ours is None or theirs is None:
        return None
    same = [run["seed"] for run in a] == [run["seed"] for run in b]
    return intervals.estimate([ours - theirs] if same else [ours, -theirs], pseudo=1.0)


def tests(groups: Sequence[RunGroup], answers: Answers) -> pa.Table:
    """Test each pair of methods at every column where both count, for models with the same starting weights.

    One seed each: McNemar's exact test. Several: one less the level at which the interval over seeds and
    pictures of ``intervals`` ends at 0. Models without per-sample results are left out.
    """
    places: dict[tuple, list[tuple[RunGroup, list[dict]]]] = defaultdict(list)
    for group, (dataset, distortion), members in counting(groups):
        if all(map(answers.has, members)):
            places[dataset, group.arch, distortion].append((group, members))
    rows = []
    found = grouping.baselines(groups)
    for (dataset, arch, distortion), there in places.items():
        there.sort(key=lambda found: method_order(described(found[0])))
        for (b, theirs), (a, ours) in combinations(there, 2):
            planned = any(found.get(id(x)) and found[id(x)].group is y for x, y in ((a, b), (b, a)))
            if not planned and not _comparable(a, b):
                continue
            where = {"dataset": dataset, "arch": arch, "distortion": distortion}
            sides = {"a": a.name, "b": b.name, "label_a": a.label, "label_b": b.label, "planned": planned}
            rows.append({**where, **sides, **compared(ours, theirs, answers)})
    rows.sort(key=lambda row: (not row["planned"], row["dataset"], row["arch"], names.order(row["distortion"])))
    for planned in (True, False):
        family = [row for row in rows if row["planned"] == planned]
        for row, adjusted in zip(family, holm([row["p"] for row in family]), strict=True):
            row["holm"] = adjusted
    return pa.Table.from_pylist(rows, schema=TESTS)


def _comparable(a: RunGroup, b: RunGroup) -> bool:
    """Whether two methods have the same starting weights and, if both were trained for one column, settings."""
    if a.method == b.method or not grouping.share_start(a, b):
        return False
    return a.everywhere or b.everywhere or not grouping.differences(a, b)


def compared(ours: Sequence[dict], theirs: Sequence[dict], answers: Answers) -> dict:
    """The test on the pictures that all of these models saw."""
    a, b = answers.matrix(ours), answers.matrix(theirs)
    assert a is not None  # the callers have checked
    assert b is not None
    same = len(a) == len(b) and [run["seed"] for run in ours] == [run["seed"] for run in theirs]
    pairs = list(zip(a, b, strict=True)) if same else [(x, y) for x in a for y in b]
    only_a, only_b = (sum(int(((x == 1) & (y == 0)).sum()) for x, y in order) for order in (pairs, _turned(pairs)))
    found = difference(ours, theirs, answers)
    if found is None or not found.n:
        return {"seeds": len(pairs), "n": 0, "only_a": 0, "only_b": 0, "p": 1.0}
    low, high = found.interval()
    return {
        "seeds": max(len(a), len(b)),
        "n": found.n,
        "only_a": only_a,
        "only_b": only_b,
        "gain": 100 * found.mean,
        "low": 100 * low,
        "high": 100 * high,
        "p": mcnemar(only_a, only_b) if len(a) == len(b) == 1 else found.p(),
    }


def _turned(pairs: list[tuple]) -> list[tuple]:
    return [(y, x) for x, y in pairs]


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p (McNemar 1947): under the null ``only_a`` is binomial with one half. 1 without discord."""
    from scipy.stats import binomtest

    return binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0


def holm(ps: list[float]) -> list[float]:
    """p-values corrected for their number, step down (Holm 1979)."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = largest
    return adjusted
