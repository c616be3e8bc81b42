"""How a run is doing: a live line in a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click
from tqdm import tqdm

LOG_EVERY = 30.0  #: seconds between lines when stderr is not a terminal
LIVE_EVERY = 0.5

T = TypeVar("T")


class Waiting:
    """Passes on what an iterable yields and adds up the time it let us wait."""

    def __init__(self, items: Iterable[T]):
        self.items = iter(items)
        self.seconds = 0.0

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        start = time.perf_counter()
        try:
            return next(self.items)
        finally:
            self.seconds += time.perf_counter() - start


class Progress:
    """One line per epoch: images/s, share of the time spent waiting for data, loss terms, ETA of the epoch."""

    def __init__(self, title: str, total: int, done: int = 0, quiet: bool = False):
        self.title, self.total, self.done, self.quiet = title, total, done, quiet
        self.before, self.waited = done, 0.0
        self.start = self.shown = time.perf_counter()
        self.live = sys.stderr.isatty()

    def update(self, images: int, waited: float) -> None:
        """Count images; ``waited`` is the time spent waiting for data since the start."""
        self.done += images
        self.waited = waited

    @property
    def due(self) -> bool:
        """Whether it is time to ``show``; fetching losses for it makes a GPU wait."""
        return time.perf_counter() - self.shown >= (LIVE_EVERY if self.live else LOG_EVERY)

    def rate(self) -> float:
        """Images per second since the start."""
        return (self.done - self.before) / max(time.perf_counter() - self.start, 1e-9)

    def share(self) -> float:
        """Fraction of the time spent waiting for data."""
        return self.waited / max(time.perf_counter() - self.start, 1e-9)

    def show(self, losses: dict[str, float]) -> None:
        self.shown = time.perf_counter()
        if self.quiet:
            return
        terms = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        left = tqdm.format_interval((self.total - self.done) / max(self.rate(), 1e-9))
        line = (
            f"{self.title}: {self.done:,}/{self.total:,} images, {self.rate():.1f} images/s, "
            f"waiting {self.share():.0%}, {terms}, ETA {left}"
        )
        click.echo(f"\r\033[K{line}" if self.live else line, err=True, nl=not self.live)

    def close(self) -> None:
        if self.live and not self.quiet:
            click.echo("\r\033[K", err=True, nl=False)
