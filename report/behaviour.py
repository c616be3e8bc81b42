"""Statistics of a network's answers: calibration, accuracy by class, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from report import names
from report.accuracy import counting, described, method_order
from report.groups import RunGroup

CELL = ["dataset", "arch", "method", "distortion"]  #: a model at a column
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
NAME = pa.dictionary(pa.int32(), pa.string())  #: there may be millions of rows
#: One row per model, column, true class and answered class that occurs. Seeds are added up.
CONFUSION = pa.schema(
    [
        *((name, NAME) for name in ("dataset", "arch", "base", "method", "label", "distortion")),
        *((name, NAME) for name in ("class", "answer")),
        ("answers", pa.int64()),
    ]
)
LOW = 2**32 - 1  #: a pair of classes is one number, the true class above its lowest 32 bits


@dataclass
class Behaviour:
    """Counts per (per-sample file, column). Only counts are kept, because the answers are large."""

    _bins: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    _pairs: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

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
            label, predicted = (whole[of].to_numpy().astype(np.int64) for of in ("label", f"{name}/predicted"))
            self._pairs[file, name] = np.unique(label << 32 | predicted & LOW, return_counts=True)

    def calibration(self, groups: Sequence[RunGroup]) -> pa.Table:
        rows = []
        for group, (dataset, distortion), runs in counting(groups):
            found = [bins for run in runs if (bins := self._bins.get((run["samples"], distortion))) is not None]
            where = {"dataset": dataset, **described(group), "distortion": distortion}
            for place, (answers, confidence, right) in enumerate(np.sum(found, axis=0) if found else ()):
                if answers:
                    counts = {"answers": int(answers), "confidence": confidence, "right": right}
                    rows.append({**where, "bin": place, **counts})
        return pa.Table.from_pylist(_ordered(rows), schema=CALIBRATION)

    def confusion(self, groups: Sequence[RunGroup], classes: dict[str, Sequence[str]]) -> pa.Table:
        """``classes`` are the names by label of each dataset."""
        cells = []
        for group, (dataset, distortion), runs in counting(groups):
            found = [counted for run in runs if (counted := self._pairs.get((run["samples"], distortion)))]
            if found:
                cells.append({"dataset": dataset, **described(group), "distortion": distortion, "found": found})
        tables = [CONFUSION.empty_table()]
        for cell in _ordered(cells):
            codes, counts = map(np.concatenate, zip(*cell.pop("found"), strict=True))
            pairs, place = np.unique(codes, return_inverse=True)
            columns = [_named(np.zeros(len(pairs)), [value]) for value in cell.values()]
            known = classes.get(cell["dataset"], ())
            for part in (pairs >> 32, (pairs & LOW).astype(np.uint32).view(np.int32)):
                labels, index = np.unique(part, return_inverse=True)
                columns.append(_named(index, [class_name(known, int(label)) for label in labels]))
            answers = pa.array(np.bincount(place, counts).astype(np.int64))
            tables.append(pa.table([*columns, answers], schema=CONFUSION))
        return pa.concat_tables(tables).unify_dictionaries()


def class_name(classes: Sequence[str], label: int | None) -> str:
    """The name of a label; the number where the dataset has none for it."""
    if label is None:
        return ""
    return classes[label] if 0 <= label < len(classes) else str(label)


def calibration_error(bins: Sequence[dict]) -> float:
    """Expected calibration error: mean distance between confidence and accuracy, weighted by answers; 0 to 1."""
    total = sum(row["answers"] for row in bins)
    return sum(abs(row["confidence"] - row["right"]) for row in bins) / total


def cells_of(confusion: pa.Table) -> Iterator[pa.Table]:
    """The rows of each model and column, which are neighbours."""
    cells = confusion.group_by(CELL, use_threads=False)
    start = 0
    for count in cells.aggregate([([], "count_all")])["count_all"].to_pylist():
        yield confusion.slice(start, count)
        start += count


def by_class(cell: pa.Table) -> list[dict]:
    """Answers and accuracy of each class of one model and column, the lowest accuracy first."""
    right = pc.if_else(_right(cell), cell["answers"], 0)
    rows = pa.table({"class": cell["class"], "answers": cell["answers"], "right": right})
    sums = rows.group_by("class").aggregate([("answers", "sum"), ("right", "sum")])
    made = [
        {"class": name, "answers": answers, "accuracy": 100 * hits / answers}
        for name, answers, hits in zip(*sums.to_pydict().values(), strict=True)
    ]
    return sorted(made, key=lambda row: (row["accuracy"], row["class"]))


def commonest(cell: pa.Table, count: int) -> list[dict]:
    """The most frequent wrong answers of one model and column."""
    wrong = cell.filter(pc.invert(_right(cell)))
    order = pc.sort_indices(wrong, sort_keys=[("answers", "descending")])
    return wrong.take(order[:count]).to_pylist()


def _right(cell: pa.Table) -> pa.ChunkedArray:
    return pc.equal(*(cell[name].cast(pa.string()) for name in ("class", "answer")))


def _named(places: np.ndarray, values: list) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), pa.array(values, pa.string()))


def _ordered(rows: list[dict]) -> list[dict]:
    return sorted(
        rows, key=lambda row: (row["dataset"], row["arch"], method_order(row), names.order(row["distortion"]))
    )
