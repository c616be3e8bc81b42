"""The share of the accuracy lost to a distortion that a method recovers (Ghosh et al. 2018, Table 1)."""

from __future__ import annotations

from report.contents import Contents
from report.tables.table import Column, Table, Text, number

CLEAN, BASELINE = "clean", "pretrained"


def recovered(clean: float, distorted: float, after: float) -> float | None:
    """100 (d' - d) / (c - d): c and d the baseline's accuracy on clean and distorted pictures, d' the method's.

    Any unit; 100 is the clean accuracy. None where the distortion costs the baseline nothing.
    """
    return 100 * (after - distorted) / (clean - distorted) if clean > distorted else None


def recovery(contents: Contents) -> Table | None:
    """Every method against the pre-trained network; None if that was not tested on clean pictures."""
    scores: dict[tuple, dict[str, dict]] = {}
    for row in contents.accuracy.to_pylist():
        if not row["published"]:
            scores.setdefault((row["dataset"], row["arch"], row["distortion"]), {})[row["method"]] = row
    records = []
    for (dataset, arch, distortion), methods in scores.items():
        clean = scores.get((dataset, arch, CLEAN), {})
        if distortion == CLEAN or BASELINE not in methods or BASELINE not in clean:
            continue
        c, d = clean[BASELINE]["accuracy"], methods[BASELINE]["accuracy"]
        for name, row in methods.items():
            share = recovered(c, d, row["accuracy"])
            if name != BASELINE and share is not None:
                own = clean[name]["accuracy"] if name in clean else None
                records.append({"dataset": dataset, "arch": arch, "distortion": distortion, "method": row["label"],
                                "clean": c, "distorted": d, "clean_after": own, "after": row["accuracy"],
                                "recovery": share})  # fmt: skip
    if not records:
        return None
    several = len({record["dataset"] for record in records}) > 1
    columns = [
        *([Column("dataset", lambda row: Text(row["dataset"]), left=True)] if several else []),
        Column("model", lambda row: Text(row["arch"]), left=True),
        Column("distortion", lambda row: Text(row["distortion"]), left=True),
        Column("method", lambda row: Text(row["method"]), left=True),
        Column("clean c (%)", lambda row: number(row["clean"], 2), aside=True),
        Column("distorted d (%)", lambda row: number(row["distorted"], 2), aside=True),
        Column("clean c′ (%)", lambda row: number(row["clean_after"], 2), aside=True),
        Column("distorted d′ (%)", lambda row: number(row["after"], 2)),
        Column("recovery (%)", lambda row: number(row["recovery"], 1)),
    ]
    note = (
        "Recovery is 100 (d′ − d) / (c − d), after Ghosh et al. 2018: c and d are the accuracy of the network as "
        "it comes on clean and on distorted pictures, d′ that of the method on distorted ones."
    )
    return Table("recovery", "What a method wins back", note, columns, records)
