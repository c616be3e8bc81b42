"""What to deploy: the Pareto front of bytes and accuracy over all codecs, qualities and methods."""

from __future__ import annotations

from report import choose
from report.contents import Contents
from report.tables.comparisons import INTERVALS
from report.tables.table import Column, Table, Text, number


def deploy(contents: Contents) -> Table | None:
    """The front of each dataset and network, cheapest first; None when nothing with a rate was tested."""
    records = [row for rows in choose.fronts(contents.accuracy).values() for row in rows]
    if not records:
        return None
    columns = [
        Column("network", lambda row: Text(row["arch"]), left=True),
        Column("distortion", lambda row: Text(row["distortion"]), left=True),
        Column("method", lambda row: Text(row["label"]), left=True),
        Column("bytes", lambda row: number(row["bytes_mean"], 0)),
        Column("bpp", lambda row: number(row["bpp_mean"], 3)),
        Column("top-1 (%)", _accuracy),
        Column("top-5 (%)", lambda row: number(row["top5"], 1), aside=True),
        Column("loss", lambda row: number(row["loss"], 3), aside=True),
        Column("PSNR (dB)", lambda row: number(row["psnr_mean"], 2)),
    ]
    if len({row["dataset"] for row in records}) > 1:
        columns.insert(0, Column("dataset", lambda row: Text(row["dataset"]), left=True))
    note = (
        "Every row is more accurate than all cheaper ones, over all codecs, qualities and methods that were "
        "tested (the Pareto front). Bytes are means; one picture may need more. The most accurate of many is a "
        f"little less accurate than it seems. {INTERVALS}"
    )
    return Table("deploy", "What should I deploy?", note, columns, records)


def _accuracy(row: dict) -> Text:
    ends = "" if row["low"] is None else f"[{row['low']:.2f}, {row['high']:.2f}]"
    return Text(number(row["accuracy"], 2).main, ends)
