"""Tables of comparisons: McNemar's tests, BD-rates, published against measured."""

from __future__ import annotations

from report.accuracy import method_title
from report.compare import compared
from report.contents import Contents
from report.tables.table import Column, Table, Text, number


def mcnemar(contents: Contents) -> Table | None:
    """Method against method on the same pictures; None without per-sample results."""
    records = contents.tests.to_pylist()
    if not records:
        return None
    several = len({row["dataset"] for row in records}) > 1
    columns = [Column("dataset", lambda row: Text(row["dataset"]), left=True)] if several else []
    columns += [
        Column("model", lambda row: Text(row["arch"]), left=True),
        Column("distortion", lambda row: Text(row["distortion"]), left=True),
        Column("method A", lambda row: Text(method_title(row["a"])), left=True),
        Column("method B", lambda row: Text(method_title(row["b"])), left=True),
        Column("seed", lambda row: number(row["seed"], 0)),
        Column("samples", lambda row: number(row["n"], 0)),
        Column("only A right", lambda row: number(row["only_a"], 0)),
        Column("only B right", lambda row: number(row["only_b"], 0)),
        Column("A − B (points)", lambda row: number(row["gain"], 2, sign=True)),
        Column("p", lambda row: Text(p_value(row["p"]))),
        Column("p (Holm)", lambda row: Text(p_value(row["holm"]))),
    ]
    note = (
        "McNemar's exact test on the same pictures, two-sided. "
        f"The last column is corrected for all {len(records)} tests of this report (Holm)."
    )
    return Table("mcnemar", "Method against method, picture by picture", note, columns, records)


def bd_rates(contents: Contents) -> Table | None:
    """BD-rates at equal PSNR and at equal accuracy; None when there are no two curves to compare."""
    records = contents.deltas.to_pylist()
    if not records:
        return None
    columns = [
        Column("at equal", lambda row: Text(row["quality"]), left=True),
        Column("between", lambda row: Text(row["between"]), left=True),
        Column(
            "for",
            lambda row: Text(", ".join(row[name] for name in ("dataset", "arch", "curve") if row[name])),
            left=True,
        ),
        Column("anchor", lambda row: Text(row["anchor"]), left=True),
        Column("test", lambda row: Text(row["test"]), left=True),
        Column(
            "BD-rate (%)",
            lambda row: Text("n/a") if row["bd_rate"] is None else number(row["bd_rate"], 1, sign=True),
        ),
        Column("overlap", lambda row: Text() if row["bd_rate"] is None else Text(f"{row['overlap']:.0%}")),
        Column("remark", lambda row: Text(_remark(row)), left=True),
    ]
    note = (
        "How many more bytes the test needs than the anchor for the same quality, over the qualities that "
        "both reach; negative saves. Piecewise cubic interpolation through log rate. Overlap: shared part of the "
        "two quality ranges; with little of it the number speaks of that part only."
    )
    return Table("bd-rate", "BD-rate", note, columns, records)


def _remark(row: dict) -> str:
    if row["reason"]:
        return row["reason"]
    return f"without {row['dropped']} that cost more and score less" if row["dropped"] else ""


def published(contents: Contents) -> Table | None:
    """Published values beside measured ones; None without both."""
    records = compared(contents).to_pylist()
    if not records:
        return None
    columns = [
        Column("published", lambda row: Text(row["published_in"]), left=True),
        Column("dataset", lambda row: Text(row["dataset"]), left=True),
        Column("distortion", lambda row: Text(row["distortion"]), left=True),
        Column("what", lambda row: Text(row["quantity"]), left=True),
        Column("published", lambda row: number(row["published"], digits(row))),
        Column("measured", lambda row: number(row["measured"], digits(row))),
        Column("difference", lambda row: number(row["difference"], digits(row), sign=True)),
    ]
    note = "Measured less published. " + " ".join(
        f"{table['title']}: {table['source']}." for table in contents.published
    )
    return Table("published", "Published and measured", note, columns, records)


def digits(row: dict) -> int:
    return {"bytes": 0, "SSIM": 3}.get(row["quantity"], 2)


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
