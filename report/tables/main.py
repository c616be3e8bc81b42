"""Table I of Marie et al. 2022: rate and quality of each distortion, and the accuracy of each method at it."""

from __future__ import annotations

import statistics
from functools import partial

from report import names
from report.accuracy import method_order
from report.contents import Contents
from report.tables.comparisons import INTERVALS, with_interval
from report.tables.stacked import stacked
from report.tables.table import Column, Table, Text, number
from shards.console import plural

SCORE = ("accuracy", "low", "high", "spread", "seeds", "n", "top5", "loss")
GAIN = ("gain", "gain_low", "gain_high", "gain_reason")
REASONS = 6  #: told under the table; the gains table has all


def table1(contents: Contents) -> Table:
    """Rate, PSNR and SSIM of every distortion, accuracy per architecture and method, and the gain."""
    scores, gains = by_place(contents.accuracy.to_pylist()), gains_by_place(contents)
    gained = {(arch, method) for _, _, arch, method in gains}
    records = []
    known = {(row["dataset"], row["distortion"]): row for row in contents.measured.to_pylist()}
    for score in contents.accuracy.to_pylist():  # a tested column that the dataset lacks still has its row
        known.setdefault((score["dataset"], score["distortion"]), {**score, "samples": None, "identical": None})
    sources = list(dict.fromkeys(dataset for dataset, _ in known))
    for (dataset, distortion), row in sorted(
        known.items(), key=lambda item: (sources.index(item[0][0]), names.order(item[0][1]))
    ):
        record = {name: row[name] for name in ("dataset", "distortion", "codec", "value", "samples", "identical")}
        record |= {name: row[name] for name in row if name.endswith(("_mean", "_std"))}
        if row["samples"] and row["identical"] == row["samples"]:
            record["psnr_mean"] = float("inf")
        for arch, methods in architectures(contents).items():
            for method in methods:
                score = scores.get((dataset, distortion, arch, method))
                for name in SCORE:
                    record[f"{arch}/{method}/{name}"] = score[name] if score else None
                found = gains.get((dataset, distortion, arch, method))
                for name in GAIN if (arch, method) in gained else ():
                    record[f"{arch}/{method}/{name}"] = found[name.removeprefix("gain_")] if found else None
        records.append(record)
    title, note = "Rate, distortion and accuracy", _note(contents, records)
    print_ = stacked(records, architectures(contents), gained, title)
    return Table("table1", title, note, _columns(contents, records), records, print_)


def by_place(rows: list[dict]) -> dict[tuple, dict]:
    fields = ("dataset", "distortion", "arch", "method")
    return {tuple(row[field] for field in fields): row for row in rows}


def gains_by_place(contents: Contents) -> dict[tuple, dict]:
    """Gains at the columns that the models were trained for."""
    return by_place([row for row in contents.gains.to_pylist() if row["distortion"] == row["trained_on"]])


def architectures(contents: Contents) -> dict[str, dict[str, str]]:
    """Architecture -> its methods with their labels, in the order of printing."""
    rows = sorted(contents.accuracy.to_pylist(), key=lambda row: (row["arch"], method_order(row)))
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["arch"], {})[row["method"]] = row["label"]
    return found


def _columns(contents: Contents, records: list[dict]) -> list[Column]:
    columns = [
        Column(
            "codec",
            lambda row: Text(names.place(row["distortion"]).series.replace("clean", "lossless")),
            left=True,
        ),
        Column("quality", lambda row: Text(_quality(row)), left=True),
        Column("bytes", lambda row: number(row["bytes_mean"], 0, row["bytes_std"]), "rate per image"),
        Column("bpp", lambda row: number(row["bpp_mean"], 3), "rate per image"),
        Column("PSNR (dB)", _psnr),
        Column("SSIM", lambda row: number(row["ssim_mean"], 3, row["ssim_std"])),
    ]
    if len({record["dataset"] for record in records}) > 1:
        columns.insert(0, Column("dataset", lambda row: Text(row["dataset"]), left=True))
    gained = {(arch, method) for _, _, arch, method in gains_by_place(contents)}
    for arch, methods in architectures(contents).items():
        group = f"{arch}, top-1 (%)"
        columns += [
            Column(label, partial(_accuracy, name=f"{arch}/{method}"), group) for method, label in methods.items()
        ]
        having = [method for method in methods if (arch, method) in gained]
        for method in having:
            heading = "gain" if len(having) == 1 else f"gain, {methods[method]}"
            columns.append(Column(heading, partial(_gain, name=f"{arch}/{method}"), group))
    return columns


def _quality(row: dict) -> str:
    if row["value"] is None:
        return ""
    kind = names.kind(row["codec"])
    return f"{kind.symbol or kind.parameter} {row['value']:g}"


def _psnr(row: dict) -> Text:
    text = number(row["psnr_mean"], 2, row["psnr_std"])
    if row["identical"] and row["identical"] != row["samples"]:
        return Text(text.main, f"{text.small}; {row['identical']:,} pictures at ∞ left out")
    return text


def _digits(row: dict, name: str) -> int:
    return 2 if (row[f"{name}/n"] or 50_000) >= 10_000 else 1


def _accuracy(row: dict, name: str) -> Text:
    digits = _digits(row, name)
    mean = number(row[f"{name}/accuracy"], digits).main
    if row[f"{name}/low"] is None:
        return Text(mean)
    seeds = f" ({row[f'{name}/seeds']})" if row[f"{name}/seeds"] > 1 else ""
    return Text(mean, f"[{row[f'{name}/low']:.{digits}f}, {row[f'{name}/high']:.{digits}f}]{seeds}")


def _gain(row: dict, name: str) -> Text:
    mean, low, high = (f"{name}/{end}" for end in ("gain", "gain_low", "gain_high"))
    return with_interval(row, mean, low, high, _digits(row, name) if row[f"{name}/n"] else 2)


def _note(contents: Contents, records: list[dict]) -> str:
    parts = ["± is one standard deviation over pictures; PSNR is the mean of per-image dB on RGB."]
    methods = architectures(contents)
    if not methods:
        return parts[0]
    parts.append(f"{INTERVALS} A number in parentheses counts seeds.")
    for (dataset, arch), gains in _mean_gains(contents).items():
        mean = number(statistics.fmean(gains), 2, sign=True).main
        parts.append(
            f"{dataset}, {arch}: the gain is {mean} points on average over {plural(len(gains), 'lossy row')}."
        )
    reasons: dict[str, list[str]] = {}
    for (_, distortion, _, _), row in gains_by_place(contents).items():
        if row["gain"] is None:
            reasons.setdefault(f"{row['arch']}, {row['label']}, {row['reason']}", []).append(distortion)
    for reason, columns in list(reasons.items())[:REASONS]:
        parts.append(f"No gain of {reason}: {', '.join(dict.fromkeys(columns))}.")
    return " ".join(parts)


def _mean_gains(contents: Contents) -> dict[tuple[str, str], list[float]]:
    """Gains of each network with gains of exactly one method, to be averaged; several would be mixed."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for (dataset, distortion, arch, method), row in gains_by_place(contents).items():
        if row["gain"] is not None and distortion != "clean":
            found.setdefault((dataset, arch), {}).setdefault(method, []).append(row["gain"])
    return {place: next(iter(methods.values())) for place, methods in found.items() if len(methods) == 1}
