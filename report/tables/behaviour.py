"""Tables of errors: calibration, the hardest classes, the most frequent confusions."""

from __future__ import annotations

from report.behaviour import CELL, by_class, calibration_error, cells_of, commonest
from report.contents import Contents
from report.names import by
from report.tables.table import Column, Table, Text, number

WORST = 5  #: classes and confusions of each model and column; tables/confusion.parquet has all


def calibration(contents: Contents) -> Table | None:
    """Confidence against accuracy of each model and column; None where evaluation stored no confidences."""
    records = []
    for part in by(contents.calibration.to_pylist(), *CELL).values():
        total = sum(row["answers"] for row in part)
        sums = {name: 100 * sum(row[name] for row in part) / total for name in ("confidence", "right")}
        kept = {name: part[0][name] for name in ("dataset", "arch", "label", "distortion")}
        records.append({**kept, "answers": total, **sums, "ece": 100 * calibration_error(part)})
    columns = [
        *_place(records),
        Column("confidence (%)", lambda row: number(row["confidence"], 1)),
        Column("top-1 (%)", lambda row: number(row["right"], 1)),
        Column("calibration error (points)", lambda row: number(row["ece"], 2)),
    ]
    note = (
        "Mean probability of the answers, how many of them are right, and the expected calibration error over 15 "
        "bins (Guo et al. 2017). Few pictures make the error larger than it is."
    )
    return Table("calibration", "Calibration", note, columns, records) if records else None


def classes(contents: Contents) -> Table | None:
    """The classes with the lowest accuracy of each model and column."""
    records = []
    for part in cells_of(contents.confusion):
        (kept,) = part.select(["dataset", "arch", "label", "distortion"]).slice(0, 1).to_pylist()
        records += [{**kept, **row} for row in by_class(part)[:WORST]]
    columns = [
        *_place(records),
        Column("class", lambda row: Text(row["class"]), left=True),
        Column("answers", lambda row: number(row["answers"], 0)),
        Column("top-1 (%)", lambda row: number(row["accuracy"], 1)),
    ]
    note = f"The {WORST} classes with the lowest accuracy; answers of all seeds."
    return Table("classes", "Hardest classes", note, columns, records) if records else None


def confusions(contents: Contents) -> Table | None:
    """The most frequent confusions of each model and column: true class and answer."""
    records = [row for part in cells_of(contents.confusion) for row in commonest(part, WORST)]
    columns = [
        *_place(records),
        Column("class", lambda row: Text(row["class"]), left=True),
        Column("taken for", lambda row: Text(row["answer"]), left=True),
        Column("times", lambda row: number(row["answers"], 0)),
    ]
    note = f"The {WORST} commonest wrong answers, over all seeds."
    return Table("confusions", "Commonest confusions", note, columns, records) if records else None


def _place(records: list[dict]) -> list[Column]:
    columns = [
        Column("model", lambda row: Text(row["arch"]), left=True),
        Column("method", lambda row: Text(row["label"]), left=True),
        Column("distortion", lambda row: Text(row["distortion"]), left=True),
    ]
    several = len({row["dataset"] for row in records}) > 1
    return [Column("dataset", lambda row: Text(row["dataset"]), left=True), *columns] if several else columns
