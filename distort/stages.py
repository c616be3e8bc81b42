"""Time per stage of making a sample, summed over pictures and workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from shards.console import table


class Stages(dict[str, float]):
    """Stage -> seconds."""

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self[stage] = self.get(stage, 0.0) + time.perf_counter() - start

    def add(self, other: Mapping[str, float]) -> None:
        for stage, seconds in other.items():
            self[stage] = self.get(stage, 0.0) + seconds


def describe(stages: Stages, pictures: int, workers: int, seconds: float) -> str:
    """A table of milliseconds per picture and shares. The rest is shown as waiting, which includes start-up."""
    waiting = max(0.0, workers * seconds - sum(stages.values()))
    total = max(workers * seconds, 1e-9)
    rows = [
        [stage, f"{1000 * spent / max(pictures, 1):.3f}", f"{spent / total:.1%}"]
        for stage, spent in {**stages, "waiting": waiting}.items()
    ]
    return table(["stage", "ms per picture", "share"], rows)
