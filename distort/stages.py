"""How long the stages of making a sample take, added up over pictures and workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Stages(dict[str, float]):
    """Stage -> seconds of one worker."""

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self[stage] = self.get(stage, 0.0) + time.perf_counter() - start

    def add(self, other: Mapping[str, float]) -> None:
        for stage, seconds in other.items():
            self[stage] = self.get(stage, 0.0) + seconds
