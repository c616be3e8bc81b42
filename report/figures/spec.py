"""The specification of a figure, and text that all figures share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from matplotlib.figure import Figure

from report.look import NothingToShow

__all__ = ["NothingToShow", "Spec", "label", "sentence", "shown"]


@dataclass(frozen=True)
class Spec:
    """A figure: ``draw`` turns the part of a tidy table that belongs together into one matplotlib figure."""

    name: str  #: of its files; the values of ``per`` are appended
    title: str
    caption: str
    table: str  #: a field of ``report.contents.Contents``
    draw: Callable[[pa.Table], Figure]
    per: tuple[str, ...] = ()  #: one figure for each combination of these columns
    rates: bool = False  #: its axis is the rate: what has no bitstream is named under it


def label(series: str, rows: list[dict]) -> str:
    """A curve's label; for a single point, with its value."""
    return series if len(rows) > 1 or rows[0]["value"] is None else rows[0]["distortion"]


def sentence(row: dict, field: str, unit: str) -> str:
    """The hover text of a point: distortion, value, and rate or quality."""
    parts = [row["distortion"], f"{unit.split(' (')[0]} {shown(row[field], unit)}"]
    if field == "accuracy":
        if row["low"] is not None:
            parts.append(f"95 %: {row['low']:.2f} – {row['high']:.2f}")
        parts.append(
            f"n {row['n']:,}" + (f", {row['seeds']} seeds" if row["seeds"] > 1 else "") if row["n"] else ""
        )
    if row.get("bytes_mean") is not None:
        parts.append(f"{row['bytes_mean']:,.0f} bytes, {row['bpp_mean']:.3f} bpp")
    return "\n".join(filter(None, parts))


def shown(value: float, unit: str) -> str:
    _, _, name = unit.rstrip(")").partition(" (")
    if not name and abs(value) <= 1:
        return f"{value:.4f}"
    return f"{value:.2f} {name}".rstrip()
