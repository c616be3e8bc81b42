"""Statistics of a network's answers: calibration, accuracy by class, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from report import names
from report.accuracy import cells, described, method_order
from report.groups import RunGroup

BINS = 15  #: of equal width, as Guo et al., On calibration of modern neural networks, ICML 2017
#: One row per model, column and bin of confidence: answers, and sums over them. Seeds are added up.
CALIBRATION = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "arch", "base", "method", "label", "distortion")),
        ("bin", pa.int64()),
        ("answers", pa.int64()),
        ("confidence", pa.float64()),
        ("right", pa.float64()),
    ]
)
#: One row per model, column, true class and answered class that occurs. Seeds are added up.
CONFUSION = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "arch", "base", "method", "label", "distortion")),
        ("class", pa.string()),
        ("answer", pa.string()),
        ("answers", pa.int64()),
    ]
)


@dataclass
class Behaviour:
    """Counts per (per-sample file, column). Only counts are kept, because the answers are large."""

    _bins: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    _pairs: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def add(self, file: str, table: pa.Table, columns: Iterable[str]) -> None:
        """Count the answers of ``columns`` of a per-sample table, where it says them."""
        for name in columns:
            have = {name, f"{name}/predicted", f"{name}/confidence", "label"} & set(table.column_names)
            if len(have) < 4:
                continue
            whole = table.select(sorted(have)).drop_null()
            right = whole[name].to_numpy().astype(np.float64)
            confidence = np.clip(whole[f"{name}/confidence"].to_numpy().astype(np.float64), 0, 1)
            place = np.minimum((confidence * BINS).astype(int), BINS - 1)
            sums = (np.bincount(place, weights, BINS) for weights in (None, confidence, right))
            self._bins[file, name] = np.stack([*sums], 1)
            pairs = np.stack([whole["label"].to_numpy(), whole[f"{name}/predicted"].to_numpy()], 1)
            found, counts = np.unique(pairs, axis=0, return_counts=True)
            self._pairs[file, name] = np.column_stack([found, counts])

    def calibration(self, groups: Sequence[RunGroup]) -> pa.Table:
        rows = []
        for group, (dataset, distortion), runs in _counting(groups):
            found = [bins for run in runs if (bins := self._bins.get((run["samples"], distortion))) is not None]
            where = {"dataset": dataset, **described(group), "distortion": distortion}
            for place, (answers, confidence, right) in enumerate(np.sum(found, axis=0) if found else ()):
                if answers:
                    counts = {"answers": int(answers), "confidence": confidence, "right": right}
                    rows.append({**where, "bin": place, **counts})
        return pa.Table.from_pylist(_ordered(rows), schema=CALIBRATION)

    def confusion(self, groups: Sequence[RunGroup], classes: dict[str, Sequence[str]]) -> pa.Table:
        """``classes`` are the names by label of each dataset."""
        rows = []
        for group, (dataset, distortion), runs in _counting(groups):
            counted: dict[tuple[int, int], int] = {}
            for run in runs:
                for label, answer, count in self._pairs.get((run["samples"], distortion), ()):
                    place = (int(label), int(answer))
                    counted[place] = counted.get(place, 0) + int(count)
            where = {"dataset": dataset, **described(group), "distortion": distortion}
            known = classes.get(dataset, ())
            for (label, answer), count in sorted(counted.items()):
                said = {"class": class_name(known, label), "answer": class_name(known, answer), "answers": count}
                rows.append({**where, **said})
        return pa.Table.from_pylist(_ordered(rows), schema=CONFUSION)


def class_name(classes: Sequence[str], label: int | None) -> str:
    """The name of a label; the number where the dataset has none for it."""
    if label is None:
        return ""
    return classes[label] if 0 <= label < len(classes) else str(label)


def calibration_error(bins: Sequence[dict]) -> float:
    """Expected calibration error: mean distance between confidence and accuracy, weighted by answers; 0 to 1."""
    total = sum(row["answers"] for row in bins)
    return sum(abs(row["confidence"] - row["right"]) for row in bins) / total


def by_class(confusion: Sequence[dict]) -> list[dict]:
    """Answers and accuracy of each class of one model and column, the lowest accuracy first."""
    found: dict[str, list[int]] = {}
    for row in confusion:
        counts = found.setdefault(row["class"], [0, 0])
        counts[0] += row["answers"]
        counts[1] += row["answers"] * (row["class"] == row["answer"])
    made = [{"class": name, "answers": n, "accuracy": 100 * right / n} for name, (n, right) in found.items()]
    return sorted(made, key=lambda row: (row["accuracy"], row["class"]))


def _counting(groups: Sequence[RunGroup]) -> Iterable[tuple[RunGroup, tuple[str, str], list[dict]]]:
    """Groups with the columns at which they count, and their runs there."""
    for group in groups:
        for place, runs in cells(group):
            if group.everywhere or group.trained_on == place[1]:
                yield group, place, runs


def _ordered(rows: list[dict]) -> list[dict]:
    return sorted(
        rows, key=lambda row: (row["dataset"], row["arch"], method_order(row), names.order(row["distortion"]))
    )
