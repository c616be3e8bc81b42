"""Which pictures each model got right, aligned over models; packed bits, since there may be thousands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


@dataclass
class Answers:
    """Per-sample correctness by (per-sample file, column), over one order of pictures per plan."""

    _places: dict[str, dict[str, int]] = field(default_factory=dict)  #: plan -> key -> place
    _last: dict[str, tuple[pa.ChunkedArray, np.ndarray]] = field(default_factory=dict)
    _bits: dict[tuple[str, str], tuple[np.ndarray, np.ndarray | None]] = field(default_factory=dict)
    _sizes: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, plan: str, file: str, table: pa.Table, columns: Iterable[str]) -> None:
        """Keep ``columns`` (bool, null: not tested) of a per-sample table."""
        order = self.order(plan, table["key"])
        size = len(self._places[plan])
        for name in columns:
            if name not in table.column_names:
                continue
            answers = table[name].combine_chunks()
            right, tested = np.zeros(size, bool), np.zeros(size, bool)
            right[order] = answers.fill_null(False).to_numpy(zero_copy_only=False)
            tested[order] = answers.is_valid().to_numpy(zero_copy_only=False)
            self._bits[file, name] = (np.packbits(right), None if tested.all() else np.packbits(tested))
            self._sizes[file, name] = size

    def order(self, plan: str, keys: pa.ChunkedArray) -> np.ndarray:
        """The positions of ``keys``. Files of one evaluation have the same keys, so the last result is cached."""
        if plan in self._last and self._last[plan][0].equals(keys):
            return self._last[plan][1]
        places = self._places.setdefault(plan, {})
        order = np.array([places.setdefault(key, len(places)) for key in keys.to_pylist()], np.int64)
        self._last[plan] = (keys, order)
        return order

    def keys(self, plan: str) -> list[str]:
        """The pictures of a plan, in the order of all arrays."""
        return list(self._places.get(plan, {}))

    def has(self, run: dict) -> bool:
        return (run["samples"], run["distortion"]) in self._bits

    def right(self, run: dict) -> np.ndarray | None:
        """Float (n,) over ``keys(plan)``: 1 right, 0 wrong, NaN not tested. None without per-sample results."""
        place = (run["samples"], run["distortion"])
        if place not in self._bits:
            return None
        size, whole = self._sizes[place], len(self._places[run["plan"]])
        bits, tested = self._bits[place]
        found = np.full(whole, np.nan, np.float32)
        found[:size] = np.unpackbits(bits, count=size)
        if tested is not None:
            found[:size][~np.unpackbits(tested, count=size).astype(bool)] = np.nan
        return found

    def matrix(self, runs: Sequence[dict]) -> np.ndarray | None:
        """Float (runs, n). None when any run has no per-sample results."""
        rows = [row for run in runs if (row := self.right(run)) is not None]
        return np.stack(rows) if rows and len(rows) == len(runs) else None
