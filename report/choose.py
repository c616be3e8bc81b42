"""What to deploy: the best codec, quality and network for a budget of bytes per picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from report.names import by


def candidates(accuracy: pa.Table) -> list[dict[str, Any]]:
    """Rows of ``accuracy`` that have a rate, cheapest first; at equal rate the most accurate first."""
    rows = [row for row in accuracy.to_pylist() if row["bytes_mean"] is not None]
    return sorted(rows, key=lambda row: (row["bytes_mean"], -row["accuracy"]))


def front(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The Pareto front, cheapest first: candidates more accurate than all others of at most their rate."""
    kept: list[dict[str, Any]] = []
    for row in rows:
        if not kept or row["accuracy"] > kept[-1]["accuracy"]:
            kept.append(row)
    return kept


def fronts(accuracy: pa.Table) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The Pareto front of each (dataset, network)."""
    return {place: front(rows) for place, rows in by(candidates(accuracy), "dataset", "arch").items()}


def affordable(rows: Sequence[dict[str, Any]], budget: float) -> list[dict[str, Any]]:
    """The candidates whose mean file is at most ``budget`` bytes, the most accurate first.

    Raises ValueError, which names the cheapest, when there is none.
    """
    within = [row for row in rows if row["bytes_mean"] <= budget]
    if not within:
        if not rows:
            raise ValueError("no tested column has a bitstream: give datasets with results on their columns")
        raise ValueError(
            f"nothing tested costs at most {budget:,.0f} bytes: the cheapest is {rows[0]['distortion']} "
            f"with {rows[0]['bytes_mean']:,.0f}"
        )
    return sorted(within, key=lambda row: -row["accuracy"])


def budget_in_bytes(
    pixels: float, bytes_: float | None, bpp: float | None, kbps: float | None, pps: float | None
) -> float:
    """Bytes per picture: as given, from bits per pixel of ``pixels``, or from kbit/s and pictures a second."""
    if bytes_ is not None:
        return bytes_
    if bpp is not None:
        return bpp * pixels / 8
    if kbps is None or pps is None:
        raise ValueError("give a budget: bytes, bpp, or kbit/s")
    return 1000 * kbps / 8 / pps
