"""Rate against picture quality: one curve per codec."""

from __future__ import annotations

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report import look
from report.figures.spec import NothingToShow, label, sentence
from report.labels import label_curves
from report.metrics import heading
from report.names import by

NAMES = {"psnr": "PSNR (dB)", "ssim": "SSIM"}


def rate_psnr(table: pa.Table) -> Figure:
    """Mean PSNR in dB against mean rate in bits per pixel, from ``measured``; one panel per dataset."""
    return _rate(table, "psnr")


def rate_ssim(table: pa.Table) -> Figure:
    """Mean SSIM against mean rate in bits per pixel, from ``measured``; one panel per dataset."""
    return _rate(table, "ssim")


def _rate(table: pa.Table, quality: str) -> Figure:
    return _curves(table, f"{quality}_mean", NAMES[quality], "mean")


def rate_metric(table: pa.Table) -> Figure:
    """A further metric against mean rate in bits per pixel, from ``metrics``; one panel per dataset."""
    first = table.slice(0, 1).to_pylist()[0]
    field = "median" if first["sampled"] else "mean"
    return _curves(table, field, heading(first), field)


def _curves(table: pa.Table, field: str, unit: str, kind: str) -> Figure:
    rows = [row for row in table.to_pylist() if row["bpp_mean"] and row[field] is not None]
    if not rows:
        raise NothingToShow(f"no column has both a bitstream and a finite {unit.split(' (')[0]}")
    groups = by(rows, "dataset")
    figure, axes = look.panels(len(groups))
    look.log_axis(axes[0].xaxis, [row["bpp_mean"] for row in rows])
    lines = []
    for ax, (dataset, part) in zip(axes, groups.items(), strict=True):
        ax.set(
            xlabel="rate (bits per pixel)",
            ylabel=f"{kind} {unit}",
            title=dataset if len(groups) > 1 else "",
        )
        lines.append((ax, series(ax, part, "bpp_mean", field, unit)))
    finish(lines, rows)
    return figure


def series(ax: Axes, rows: list[dict], x: str, y: str, unit: str) -> list[tuple]:
    """Draw every series of ``rows``, sorted along ``x``; returns what ``label_curves`` wants."""
    lines = []
    variants = look.variants(rows)
    for name, part in by(rows, "series").items():
        part = sorted(part, key=lambda row: row[x])
        xs, ys = [row[x] for row in part], [row[y] for row in part]
        line = look.curve(ax, xs, ys, part[0]["codec"], part[0]["chained"], variants[name])
        look.mark(line, "curve", name)
        lines.append((line, label(name, part)))
        look.hover(ax, xs, ys, [sentence(row, y, unit) for row in part], name)
    return lines


def finish(panels: list[tuple], rows: list[dict]) -> None:
    """The bytes axis, then the labels: these need the final limits."""
    for ax, _ in panels:
        look.bytes_axis(ax, rows)
    label_curves(panels[0][0].figure, panels)
