"""Accuracy against rate or quality: one figure per architecture, one panel per method."""

from __future__ import annotations

import math

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report import look
from report.figures.rate import series
from report.figures.spec import NothingToShow
from report.labels import label_curves
from report.names import by

TOP1 = "top-1 accuracy (%)"


def rate_accuracy(table: pa.Table) -> Figure:
    """Top-1 against rate in bits per pixel, from ``accuracy`` (Marie et al. 2022, Fig. 4)."""
    return _against(table, "bpp_mean", "rate (bits per pixel)", log=True, bytes_above=True)


def mse_accuracy(table: pa.Table) -> Figure:
    """Top-1 against mean MSE, the one axis that all distortions share (Ghosh et al. 2018, Fig. 1a)."""
    return _against(table, "mse_mean", "mean MSE (squared grey levels)", log=True, best="left")


def psnr_accuracy(table: pa.Table) -> Figure:
    """Top-1 against mean PSNR in dB, from ``accuracy``."""
    return _against(table, "psnr_mean", "mean PSNR (dB)")


def ssim_accuracy(table: pa.Table) -> Figure:
    """Top-1 against mean SSIM, from ``accuracy``."""
    return _against(table, "ssim_mean", "mean SSIM")


def _against(
    table: pa.Table, x: str, label: str, log: bool = False, bytes_above: bool = False, best: str = "right"
) -> Figure:
    """``best``: the end of the axis where curves approach the lossless line. Its label is at the other end."""
    everything = table.to_pylist()
    rows = [row for row in everything if row[x] and row["distortion"] != "clean"]
    if not rows:
        raise NothingToShow(f"no tested column has a known {label.split(' (')[0]}")
    groups = by(rows, "dataset", "method")
    several = len({dataset for dataset, _ in groups}) > 1
    figure, axes = look.panels(len(groups))
    if log:
        look.log_axis(axes[0].xaxis, [row[x] for row in rows])
    axes[0].set_ylim(limits(everything))
    scale = math.log if log else float
    ends = [scale(row[x]) for row in rows]

    def place(value: float) -> float:
        """The position of a value on the axis, from 0 (left) to 1."""
        return (scale(value) - min(ends)) / ((max(ends) - min(ends)) or 1)

    panels = []
    for ax, ((dataset, method), part) in zip(axes, groups.items(), strict=True):
        title = part[0]["label"] + (f" · {dataset}" if several else "")
        ax.set(xlabel=label, ylabel=TOP1, title=title)
        obstacles = [
            (place(row[x]), row["low"] or row["accuracy"], row["high"] or row["accuracy"])
            for row in part
            if row["accuracy"] is not None
        ]
        lossless(ax, everything, dataset, method, "left" if best == "right" else "right", obstacles)
        lines = series(ax, part, x, "accuracy", TOP1)
        for row in part:
            if row["low"] is not None:
                look.bars(ax, row[x], row["low"], row["high"], row["codec"], row["series"])
        panels.append((ax, lines))
    if bytes_above:
        for ax, _ in panels:
            look.bytes_axis(ax, rows)
    label_curves(figure, panels)
    return figure


def limits(rows: list[dict]) -> tuple[float, float]:
    """Limits in percent that hold every value and interval, with room for the label of the lossless line."""
    ends = [row[name] for row in rows for name in ("accuracy", "low", "high") if row[name] is not None]
    low, high = min(ends), max(ends)
    room = max(0.1 * (high - low), 1.0)
    return max(low - room, -2.0), high + 1.3 * room


def lossless(ax: Axes, rows: list[dict], dataset: str, method: str, side: str, obstacles: list[tuple]) -> None:
    """The accuracy on the lossless pictures as a line: the method's own, else that of the pre-trained model.

    Its label stands at ``side``, above the line, unless points are there: ``obstacles`` are their places on the
    axis and the ends of their intervals.
    """
    clean = [row for row in rows if row["dataset"] == dataset and row["distortion"] == "clean"]
    own = [row for row in clean if row["method"] == method]
    row = next(iter(own or [row for row in clean if row["base"] == "pretrained"]), None)
    if row is None:
        return
    whose = "lossless" if row["method"] == method else "lossless, pre-trained"
    accuracy = row["accuracy"]
    ax.axhline(accuracy, color=look.MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    height = 0.08 * (ax.get_ylim()[1] - ax.get_ylim()[0])  # of the label

    def covered(spot: tuple[str, int]) -> int:
        left, low = spot[0] == "left", accuracy if spot[1] > 0 else accuracy - height
        return sum(
            (place < 0.5) == left and bottom < low + height and low < top for place, bottom, top in obstacles
        )

    other = "right" if side == "left" else "left"
    side, up = min(((side, 1), (other, 1), (side, -1), (other, -1)), key=covered)
    ax.annotate(
        f"{whose} {accuracy:.1f} %",
        (0 if side == "left" else 1, accuracy),
        (4 if side == "left" else -4, 3 * up),
        ha=side,
        va="bottom" if up > 0 else "top",
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        fontsize=8,
        color=look.MUTED,
    )
