"""Reliability: how often answers of a given confidence are right (Guo et al. 2017, Fig. 1)."""

from __future__ import annotations

import pyarrow as pa
from matplotlib.figure import Figure

from report import look
from report.figures.methods import STYLES
from report.figures.spec import NothingToShow
from report.labels import label_curves
from report.names import by


def reliability(table: pa.Table) -> Figure:
    """Accuracy against confidence in bins, all distortions of a method together, from ``calibration``."""
    rows = [row for row in table.to_pylist() if row["distortion"] != "clean"]
    if not rows:
        raise NothingToShow("no answers with confidences on a distorted column")
    figure, (ax,) = look.panels(1)
    ax.plot([0, 100], [0, 100], color=look.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    ax.set(xlabel="confidence (%)", ylabel="right (%)", xlim=(0, 102), ylim=(0, 102))
    lines = []
    for part in by(rows, "method").values():
        xs, ys, texts = [], [], []
        for _, members in sorted(by(part, "bin").items()):
            sums = (sum(row[name] for row in members) for name in ("answers", "confidence", "right"))
            total, confidence, right = sums
            xs.append(100 * confidence / total)
            ys.append(100 * right / total)
            texts.append(f"{part[0]['label']}\nconfidence {xs[-1]:.1f} %\nright {ys[-1]:.1f} %\n{total:,} answers")
        style, filled = STYLES.get(part[0]["base"], ((0, (6, 1.5)), False))
        line = ax.plot(xs, ys, linestyle=style, marker="o", color=look.INK, markersize=4, zorder=3)[0]
        line.set_markerfacecolor(look.INK if filled else look.PAPER)
        look.mark(line, "curve", part[0]["label"])
        look.hover(ax, xs, ys, texts, part[0]["label"])
        lines.append((line, part[0]["label"]))
    label_curves(figure, [(ax, lines)])
    return figure
