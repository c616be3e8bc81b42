"""Tables of comparisons: McNemar's tests, BD-rates, published values beside measured ones."""

from __future__ import annotations

from report.compare import compared
from report.contents import Contents
from report.tables.table import Column, Table, Text, number
from shards.console import plural

#: Under every table that has intervals.
INTERVALS = (
    "Brackets are 95 % intervals over pictures and, if there are several, seeds; with one seed, pictures only."
)


def gains(contents: Contents) -> Table | None:
    """The gain of every model over its fine-tuned baseline, with its interval, or why there is none."""
    records = [row for row in contents.gains.to_pylist() if row["distortion"] == row["trained_on"]]
    if not records:
        return None
    columns = [
        *_dataset(records),
        Column("model", lambda row: Text(row["arch"]), left=True),
        Column("distortion", lambda row: Text(row["distortion"]), left=True),
        Column("method", lambda row: Text(row["label"]), left=True),
        Column("over", lambda row: Text(row["baseline_label"] or ""), left=True),
        Column("seeds", lambda row: number(row["seeds"], 0)),
        Column("gain (points)", lambda row: with_interval(row, "gain", "low", "high", 2)),
        Column("remark", lambda row: Text(row["reason"] or row["remark"] or ""), left=True, aside=True),
    ]
    note = (
        "Accuracy of a method less that of the fine-tuned model of the same network, column, starting weights and "
        f"settings. {INTERVALS}"
    )
    return Table("gains", "Gain over fine-tuning", note, columns, records)


def mcnemar(contents: Contents) -> Table | None:
    """Method against method on the same pictures; None without per-sample results."""
    records = contents.tests.to_pylist()
    if not records:
        return None
    columns = [
        *_dataset(records),
        Column("model", lambda row: Text(row["arch"]), left=True),
        Column("distortion", lambda row: Text(row["distortion"]), left=True),
        Column("method A", lambda row: Text(row["label_a"]), left=True),
        Column("method B", lambda row: Text(row["label_b"]), left=True),
        Column("seeds", lambda row: number(row["seeds"], 0)),
        Column("samples", lambda row: number(row["n"], 0), aside=True),
        Column("only A right", lambda row: number(row["only_a"], 0), aside=True),
        Column("only B right", lambda row: number(row["only_b"], 0), aside=True),
        Column("A − B (points)", lambda row: with_interval(row, "gain", "low", "high", 2)),
        Column("p", lambda row: Text(p_value(row["p"]))),
        Column("p (Holm)", lambda row: Text(p_value(row["holm"]))),
    ]
    planned = sum(row["planned"] for row in records)
    note = (
        "Methods on the same pictures, two-sided: McNemar's exact test for one seed; for several, whether the "
        "interval over pictures and seeds holds 0. The last column is corrected (Holm) for the "
        f"{plural(planned, 'planned test')}, models against their fine-tuned baselines, which come first, and "
        f"apart for the other {len(records) - planned}."
    )
    return Table("mcnemar", "Method against method, picture by picture", note, columns, records)


def bd_rates(contents: Contents) -> Table | None:
    """BD-rates at equal PSNR and at equal accuracy; None when there are no two curves to compare."""
    records = contents.deltas.to_pylist()
    if not records:
        return None
    columns = [
        Column("at equal", lambda row: Text(row["quality"]), left=True),
        Column("between", lambda row: Text(row["between"]), left=True, aside=True),
        Column(
            "for",
            lambda row: Text(", ".join(row[name] for name in ("dataset", "arch", "curve") if row[name])),
            left=True,
        ),
        Column("anchor", lambda row: Text(row["anchor"]), left=True),
        Column("test", lambda row: Text(row["test"]), left=True),
        Column("BD-rate (%)", lambda row: _delta(row, "bd_rate", 1)),
        Column("BD-quality (dB, points)", lambda row: _delta(row, "bd_quality", _digits(row))),
        Column(
            "overlap", lambda row: Text() if row["bd_rate"] is None else Text(f"{row['overlap']:.0%}"), aside=True
        ),
        Column("remark", lambda row: Text(row["reason"] or row["flag"] or ""), left=True, aside=True),
    ]
    note = (
        "BD-rate: how many more bytes the test needs than the anchor for the same quality, over the qualities "
        "that both reach; negative saves. BD-quality: how much better it is for the same bytes, in the unit of "
        "the quality: dB of PSNR, points of top-1. Piecewise cubic interpolation through log rate; points that "
        "tie or fall are pooled with their neighbour; fewer than four points are flagged. Overlap: shared part of "
        f"the quality ranges; with little of it, the number is about that part only. {INTERVALS}"
    )
    return Table("bd-rate", "Bjøntegaard deltas", note, columns, records)


def _digits(row: dict) -> int:
    """Four decimals for a metric that is a fraction, such as MS-SSIM."""
    fraction = row["quality"] not in ("PSNR", "accuracy") and abs(row["bd_quality"] or 0) < 0.1
    return 4 if fraction else 2


def _delta(row: dict, name: str, digits: int) -> Text:
    return Text("n/a") if row[name] is None else with_interval(row, name, f"{name}_low", f"{name}_high", digits)


def with_interval(row: dict, name: str, low: str, high: str, digits: int) -> Text:
    """A signed number with its 95 % interval, where there is one."""
    if row[name] is None:
        return Text()
    ends = [number(row[end], digits, sign=True).main for end in (low, high)]
    return Text(number(row[name], digits, sign=True).main, f"[{', '.join(ends)}]" if all(ends) else "")


def _dataset(records: list[dict]) -> list[Column]:
    several = len({row["dataset"] for row in records}) > 1
    return [Column("dataset", lambda row: Text(row["dataset"]), left=True)] if several else []


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
