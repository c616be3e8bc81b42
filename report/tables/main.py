"""Table I of Marie et al. 2022: what each distortion costs, and what each method makes of it."""

from __future__ import annotations

import statistics

from report import names
from report.accuracy import gain_pair, method_order, method_title
from report.contents import Contents
from report.tables.table import Column, Table, Text, number


def table1(contents: Contents) -> Table:
    """Rate, PSNR and SSIM of every distortion, accuracy per architecture and method, and the gain."""
    scores = scores_by_place(contents)
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
            values = {method: scores.get((dataset, distortion, arch, method)) for method in methods}
            for method, score in values.items():
                for name in ("accuracy", "spread", "low", "high", "seeds", "n"):
                    record[f"{arch}/{method}/{name}"] = score[name] if score else None
            pair = gain_pair(methods)
            if pair:
                both = [values[method] for method in pair]
                record[f"{arch}/gain"] = both[0]["accuracy"] - both[1]["accuracy"] if all(both) else None
        records.append(record)
    return Table(
        "table1", "Rate, distortion and accuracy", _note(contents, records), _columns(contents, records), records
    )


def scores_by_place(contents: Contents) -> dict[tuple, dict]:
    fields = ("dataset", "distortion", "arch", "method")
    return {tuple(row[field] for field in fields): row for row in contents.accuracy.to_pylist()}


def architectures(contents: Contents) -> dict[str, list[str]]:
    """Architecture -> its methods, in the order of printing."""
    found: dict[str, set] = {}
    for row in contents.accuracy.select(["arch", "method"]).to_pylist():
        found.setdefault(row["arch"], set()).add(row["method"])
    return {arch: sorted(found[arch], key=method_order) for arch in sorted(found)}


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
    for arch, methods in architectures(contents).items():
        group = f"{arch}, top-1 (%)"
        columns += [
            Column(method_title(method), lambda row, name=f"{arch}/{method}": _accuracy(row, name), group)
            for method in methods
        ]
        if gain_pair(methods):
            columns.append(Column("gain", lambda row, name=f"{arch}/gain": number(row[name], 2, sign=True), group))
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


def _accuracy(row: dict, name: str) -> Text:
    digits = 2 if (row[f"{name}/n"] or 50_000) >= 10_000 else 1
    mean = number(row[f"{name}/accuracy"], digits, row[f"{name}/spread"])
    if row[f"{name}/seeds"] and row[f"{name}/seeds"] > 1:
        return Text(mean.main, f"{mean.small} ({row[f'{name}/seeds']})")
    if row[f"{name}/low"] is None:
        return mean
    return Text(mean.main, f"[{row[f'{name}/low']:.{digits}f}, {row[f'{name}/high']:.{digits}f}]")


def _note(contents: Contents, records: list[dict]) -> str:
    parts = ["± is one standard deviation over pictures; PSNR is the mean of per-image dB on RGB"]
    methods = architectures(contents)
    if methods:
        parts.append(
            "accuracy has its 95 % interval in brackets, or ± one standard deviation over seeds (their number); "
            "a blank was not measured"
        )
    places = [(dataset, arch) for dataset in dict.fromkeys(row["dataset"] for row in records) for arch in methods]
    for dataset, arch in places:
        pair = gain_pair(methods[arch])
        lossy = [row for row in records if row["dataset"] == dataset and row["distortion"] != "clean"]
        gains = [row[f"{arch}/gain"] for row in lossy if pair and row[f"{arch}/gain"] is not None]
        if gains:
            mean = number(statistics.fmean(gains), 2, sign=True).main
            parts.append(
                f"{dataset}, {arch}: gain is {method_title(pair[0])} less {method_title(pair[1])} in percentage "
                f"points, {mean} on average over {len(gains)} lossy rows"
            )
    return "; ".join(parts) + "."
