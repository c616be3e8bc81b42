"""Comparisons of methods: on one axis per codec, and as gains with their intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from report import look, names
from report.figures.accuracy import TOP1, limits
from report.figures.spec import NothingToShow, sentence
from report.labels import label_curves
from report.names import by

#: method -> (line style, filled marker): told apart without colour, which belongs to the codec.
STYLES = {"pretrained": (":", False), "stability": ("-.", False), "finetune": ("--", True), "expert": ("-", True)}


def quality_accuracy(table: pa.Table) -> Figure:
    """Top-1 against quality, ratio, QP or sigma: one panel per codec (Ghosh et al. 2018, Fig. 1b)."""

    def axis(ax: Axes, rows: list[dict]) -> None:
        kind = names.kind(rows[0]["codec"])
        ax.set_xlabel(names.axis(rows[0]["codec"]))
        if kind.log_scale:
            look.log_axis(ax.xaxis, [row["value"] for row in rows])
            ax.set_xticks(sorted({row["value"] for row in rows}))
        else:
            ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=kind.integer))

    return _per_codec(table, "value", axis)


def rate_methods(table: pa.Table) -> Figure:
    """Top-1 against rate: one panel per codec, all methods in it, measured over published."""

    def axis(ax: Axes, rows: list[dict]) -> None:
        ax.set_xlabel("rate (bits per pixel)")
        look.log_axis(ax.xaxis, [row["bpp_mean"] for row in rows])

    return _per_codec(table, "bpp_mean", axis)


def _per_codec(table: pa.Table, x: str, axis: Callable[[Axes, list[dict]], None]) -> Figure:
    rows = [row for row in table.to_pylist() if row[x] is not None and row["value"] is not None]
    groups = {name: part for name, part in by(rows, "series").items() if len({row["value"] for row in part}) > 1}
    if not groups:
        raise NothingToShow("no codec was tested at two qualities or more")
    several = len({row["dataset"] for row in rows if not row["published"]}) > 1
    panels = []
    figure, axes = look.panels(len(groups), shared=False)
    axes[0].set_ylim(limits([row for part in groups.values() for row in part]))
    for ax, (name, part) in zip(axes, groups.items(), strict=True):
        axis(ax, part)
        ax.set(ylabel=TOP1, title=name)
        lines = []
        for members in by(part, "published", "dataset", "method").values():
            first = members[0]
            source = "published" if first["published"] else first["dataset"] if several else ""
            label = f"{first['label']}, {source}" if source else first["label"]
            lines.append((_curve(ax, sorted(members, key=lambda row: row[x]), x, label), label))
        panels.append((ax, lines))
    label_curves(figure, panels)
    return figure


def _curve(ax: Axes, rows: list[dict], x: str, label: str) -> Any:
    """One method's curve with its intervals; a published one in grey."""
    first = rows[0]
    xs, ys = [row[x] for row in rows], [row["accuracy"] for row in rows]
    line = look.curve(ax, xs, ys, first["codec"], chained=False)
    style, filled = STYLES.get(first["base"], ((0, (6, 1.5)), False))
    line.set(linestyle=style if len(xs) > 1 else "none")
    if first["published"]:
        line.set(color=look.MUTED, linewidth=1, markersize=4)
    line.set_markeredgecolor(line.get_color())
    line.set_markerfacecolor(line.get_color() if filled else look.PAPER)
    for row in rows:
        if row["low"] is not None:
            look.bars(ax, row[x], row["low"], row["high"], row["codec"], label)
    look.mark(line, "curve", label)
    look.hover(ax, xs, ys, [f"{label}\n{sentence(row, 'accuracy', TOP1)}" for row in rows], label)
    return line


def forest(table: pa.Table) -> Figure:
    """The gain of every model at the column it was trained on, with its 95 % interval, from ``gains``."""
    rows = [row for row in table.to_pylist() if row["gain"] is not None and row["trained_on"] == row["distortion"]]
    if not rows:
        raise NothingToShow("an expert and its fine-tuned baseline, tested on their column, are needed")
    rows.sort(key=lambda row: names.order(row["distortion"]))
    labels = [_row_label(row, rows) for row in rows]
    width = 6.6 * look.scaled(6.6)
    figure = Figure((width, 0.26 * len(rows) + 1.1), layout="constrained")
    ax = figure.subplots()
    ax.axvline(0, color=look.MUTED, linewidth=1, zorder=1)
    for y, row in enumerate(rows):
        codec = names.place(row["distortion"]).codec
        ends = (row["gain"], row["gain"]) if row["low"] is None else (row["low"], row["high"])
        ax.plot(ends, [y, y], color=look.colour(codec), linewidth=1.6, zorder=2)
        ax.plot([row["gain"]], [y], color=look.colour(codec), marker=look.marker(codec), zorder=3)
        interval = "" if row["low"] is None else f" [{row['low']:+.2f}, {row['high']:+.2f}]"
        text = f"{labels[y]}\n{row['gain']:+.2f} points{interval}\n{row['seeds']} seeds, n {row['n']:,}"
        look.hover(ax, [row["gain"]], [y], [text])
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel(f"gain over {rows[0]['baseline_label'].lower()} (points of top-1)")
    ax.grid(False, axis="y")
    return figure


def _row_label(row: dict, rows: list[dict]) -> str:
    several = len({other["label"] for other in rows}) > 1
    return f"{row['distortion']}, {row['label']}" if several else row["distortion"]


def pareto(table: pa.Table) -> Figure:
    """Top-1 against bytes of everything that was tested, with the Pareto front."""
    from report import choose

    rows = choose.candidates(table)
    if not rows:
        raise NothingToShow("no tested column has a rate")
    front = choose.front(rows)
    figure, (ax,) = look.panels(1)
    look.log_axis(ax.xaxis, [row["bytes_mean"] for row in rows])
    ax.set(xlabel="bytes per image", ylabel=TOP1)
    for row in rows:
        ink, shape = look.colour(row["codec"]), look.marker(row["codec"])
        alpha = 1.0 if row in front else 0.35
        ax.plot([row["bytes_mean"]], [row["accuracy"]], shape, color=ink, markersize=5, alpha=alpha)
        text = f"{row['label']}\n{sentence(row, 'accuracy', TOP1)}"
        look.hover(ax, [row["bytes_mean"]], [row["accuracy"]], [text])
    xs, ys = [row["bytes_mean"] for row in front], [row["accuracy"] for row in front]
    ax.step([*xs, ax.get_xlim()[1]], [*ys, ys[-1]], where="post", color=look.INK, linewidth=1, zorder=1)
    size = min(8, mpl.rcParams["font.size"])
    for i, row in enumerate(front):
        place, side = (row["bytes_mean"], row["accuracy"]), "right" if i else "left"
        shift, ink = (-4 if i else 4, 5), look.colour(row["codec"])
        ax.annotate(row["distortion"], place, shift, textcoords="offset points", ha=side, fontsize=size, color=ink)
    return figure
