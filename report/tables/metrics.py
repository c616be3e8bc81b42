"""What ``distort measure`` has added: further metrics of quality, and times."""

from __future__ import annotations

from functools import partial

from report.contents import Contents
from report.metrics import digits, heading, typical
from report.names import by
from report.tables.table import Column, Table, Text, number

FIELDS = ("mean", "std", "median", "samples", "undefined")


def metrics(contents: Contents) -> Table | None:
    """A row per distortion, a column per metric; None when nothing was measured."""
    rows = contents.metrics.to_pylist()
    if not rows:
        return None
    records = []
    for (dataset, distortion), part in by(rows, "dataset", "distortion").items():
        record = {"dataset": dataset, "distortion": distortion}
        for row in part:
            record |= {f"{row['metric']}/{field}": row[field] for field in FIELDS}
        records.append(record)
    columns = [Column("distortion", lambda row: Text(row["distortion"]), left=True)]
    if len(contents.datasets) > 1:
        columns.insert(0, Column("dataset", lambda row: Text(row["dataset"]), left=True))
    for name, part in by(rows, "metric").items():
        cell = partial(_median if part[0]["sampled"] else _mean, name=name, places=digits(part))
        columns.append(Column(heading(part[0]), cell))
    return Table("metrics", "Further metrics", _note(rows), columns, records)


def _mean(row: dict, name: str, places: int) -> Text:
    return number(row.get(f"{name}/mean"), places, row.get(f"{name}/std"))


def _median(row: dict, name: str, places: int) -> Text:
    return number(row.get(f"{name}/median"), places)


def _note(rows: list[dict]) -> str:
    parts = []
    if any(not row["sampled"] for row in rows):
        parts.append("Means over pictures; ± is one standard deviation.")
    falling = dict.fromkeys(row["title"] for row in rows if not row["higher_is_better"] and not row["sampled"])
    if falling:
        parts.append(f"Less is better: {', '.join(falling)}.")
    for machine, part in by([row for row in rows if row["sampled"]], "machine").items():
        titles = ", ".join(dict.fromkeys(row["title"] for row in part))
        most = max(row["samples"] for row in part)
        parts.append(f"Medians over up to {most} pictures, one thread on {machine}: {titles}.")
    undefined = dict.fromkeys(row["title"] for row in rows if row["undefined"] and typical(row) is not None)
    if undefined:
        parts.append(f"Pictures without a value are left out (identical ones, say): {', '.join(undefined)}.")
    return " ".join(parts)
