"""The progress bar of all commands, with losses and the share of time spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

from shards.console import Bar

T = TypeVar("T")


class Waiting(Iterator[T]):
    """Iterates over an iterable and adds up the time spent waiting for it."""

    def __init__(self, items: Iterable[T]):
        self.items = iter(items)
        self.seconds = 0.0

    def __next__(self) -> T:
        start = time.perf_counter()
        try:
            return next(self.items)
        finally:
            self.seconds += time.perf_counter() - start


class Progress:
    """A bar over the images of one pass, ``done`` of which were counted before. ``quiet`` hides it."""

    def __init__(self, title: str, total: int, done: int = 0, quiet: bool = False):
        self._bar = Bar(title, total, "images", done, quiet)
        self._before, self._waited = done, 0.0
        self._start = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    @property
    def due(self) -> bool:
        """Whether the next ``update`` redraws the bar; only then are losses fetched, which makes a GPU wait."""
        return self._bar.due

    def update(self, images: int, waited: float, losses: dict[str, float] | None = None) -> None:
        """Count ``images`` more; ``waited`` is the time in seconds spent waiting for data since the start."""
        self._waited = waited
        terms = "".join(f", {name} {value:.4f}" for name, value in (losses or {}).items())
        self._bar.update(self._bar.done + images, f"waiting {self.share():.0%}{terms}")

    def rate(self) -> float:
        """Images per second since the start."""
        return (self._bar.done - self._before) / max(time.perf_counter() - self._start, 1e-9)

    def share(self) -> float:
        """Fraction of the time spent waiting for data."""
        return self._waited / max(time.perf_counter() - self._start, 1e-9)
