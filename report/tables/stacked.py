"""Table I as the paper prints it: distortions side by side, methods of each network stacked; plain booktabs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby

from report import names
from report.tables.table import MISSING, escape_latex, number

ACROSS = 10  #: distortions side by side; more make a further table
LETTERS = 6  #: letters of a heading that fit in one column
ROOM = 61  #: letters that fit side by side
NOTE = "PSNR is the mean of per-image dB on RGB."
UNITS = (
    f"{NOTE} Top-1 in percent with the half width of its 95 % interval over pictures and seeds; gain in points; "
    "best in bold."
)


def stacked(
    records: Sequence[dict], architectures: Mapping[str, Mapping[str, str]], gained: set, title: str
) -> str:
    """``table*`` floats for the records of ``table1``: one per dataset and ten distortions, best accuracies bold.

    ``architectures`` are networks with their methods and labels, ``gained`` those pairs that have a gain.
    """
    floats: list[str] = []
    for dataset, members in groupby(records, key=lambda record: record["dataset"]):
        rows = list(members)
        several = len({record["dataset"] for record in records}) > 1
        for start in range(0, len(rows), ACROSS):
            caption = f"{title}{f', {dataset}' if several else ''}"
            caption = f"{caption}. {UNITS if architectures else NOTE}" if not floats else f"{caption}, continued."
            label = "tab:table1" + (f"-{len(floats) + 1}" if floats else "")
            floats.append(_float(rows[start : start + ACROSS], architectures, gained, caption, label))
    return "\n".join(floats)


def _float(
    rows: list[dict], architectures: Mapping[str, Mapping[str, str]], gained: set, caption: str, label: str
) -> str:
    lines = [
        "\\begin{table*}",
        f"\\centering\\{_size(rows)}\\setlength{{\\tabcolsep}}{{2.5pt}}",
        f"\\caption{{{escape_latex(caption)}}}",
        f"\\label{{{label}}}",
        f"\\begin{{tabular}}{{l{'r' * len(rows)}}}",
        "\\toprule",
        *_heading(rows),
        "\\midrule",
        _line("Rate (bytes)", rows, lambda row: number(row["bytes_mean"], 0).main),
        _line("Rate (bpp)", rows, lambda row: number(row["bpp_mean"], 3).main),
        _line("PSNR (dB)", rows, lambda row: number(row["psnr_mean"], 2).main),
        _line("SSIM", rows, lambda row: number(row["ssim_mean"], 3).main),
    ]
    for arch, methods in architectures.items():
        if all(row[f"{arch}/{method}/accuracy"] is None for row in rows for method in methods):
            continue
        lines += ["\\midrule", f"\\multicolumn{{{len(rows) + 1}}}{{l}}{{{escape_latex(arch)}}} \\\\"]
        for method, name in methods.items():
            field = f"{arch}/{method}"
            others = [f"{arch}/{other}/accuracy" for other in methods]
            lines.append(_line(f"  {name}", rows, partial(_accuracy, field=field, others=others)))
            if any(row[f"{field}/low"] is not None for row in rows):
                ends = [f"{field}/{end}" for end in ("accuracy", "low", "high")]
                lines.append(_line("", rows, partial(_half, ends=ends)))
        for method in (method for method in methods if (arch, method) in gained):
            field = f"{arch}/{method}"
            name = "Gain" if sum((arch, other) in gained for other in methods) == 1 else f"Gain, {methods[method]}"
            lines.append(_line(f"  {name}", rows, partial(_gain, field=field)))
            if any(row[f"{field}/gain_low"] is not None for row in rows):
                ends = [f"{field}/gain{end}" for end in ("", "_low", "_high")]
                lines.append(_line("", rows, partial(_half, ends=ends)))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table*}", ""])


def _size(rows: list[dict]) -> str:
    """The font: smaller where titles of codecs are wider than the numbers below them."""
    series = groupby(rows, key=lambda row: names.place(row["distortion"]).series)
    letters = sum(max(len(name), LETTERS * len(list(members))) for name, members in series)
    return "footnotesize" if letters <= ROOM else "scriptsize"


def _heading(rows: list[dict]) -> list[str]:
    """Two rows: codec and the name of its parameter over its columns, then the parameter's values."""
    cells, rules, values, at = [""], [], [""], 2
    for series, members in groupby(rows, key=lambda row: names.place(row["distortion"]).series):
        part = list(members)
        parameter = "" if part[0]["value"] is None else str(names.kind(part[0]["codec"]).parameter)
        short = {"compression ratio": "ratio"}.get(parameter, parameter)
        title = "Lossless" if series == "clean" else series
        # Where the columns are narrower than their title, the parameter stands below.
        wide = f"{title} ({short})"
        if not short or len(wide) > LETTERS * len(part):
            wide = title
        cells.append(f"\\multicolumn{{{len(part)}}}{{c}}{{{escape_latex(wide)}}}")
        lone = f"{short.replace('quality', 'q')} " if short and wide == title else ""
        values += [escape_latex(lone + (MISSING if row["value"] is None else f"{row['value']:g}")) for row in part]
        if short:
            rules.append(f"\\cmidrule(lr){{{at}-{at + len(part) - 1}}}")
        at += len(part)
    return [" & ".join(cells) + r" \\", "".join(rules), " & ".join(values) + r" \\"]


def _line(title: str, rows: Sequence[dict], cell: Callable[[dict], str]) -> str:
    indent = "\\quad " if title.startswith("  ") else ""
    cells = [indent + escape_latex(title.strip()), *(_escaped(cell(row)) for row in rows)]
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return text if text.startswith("\\") else escape_latex(text)


def _accuracy(row: dict, field: str, others: list[str]) -> str:
    value = row[f"{field}/accuracy"]
    digits = 2 if (row[f"{field}/n"] or 50_000) >= 10_000 else 1
    best = max((row[name] for name in others if row[name] is not None), default=None)
    text = number(value, digits).main
    return f"\\textbf{{{escape_latex(text)}}}" if value is not None and text == number(best, digits).main else text


def _gain(row: dict, field: str) -> str:
    return number(row[f"{field}/gain"], 2, sign=True).main


def _half(row: dict, ends: Sequence[str]) -> str:
    """± the longer half of an interval, in small print; ``ends``: the fields of its middle, low and high end."""
    middle, low, high = (row[name] for name in ends)
    if None in (middle, low, high):
        return MISSING
    half = max(high - middle, middle - low)
    return f"\\scriptsize$\\pm${half:.{2 if half < 10 else 1}f}"
