"""How far a job is: a live line in a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time

import click
from tqdm import tqdm

LOG_EVERY = 30  #: seconds between lines when stderr is not a terminal


class ProgressLine:
    """Counts pictures over all shards, finished and running."""

    def __init__(self, shards: int, pictures: int):
        self.shards, self.pictures = shards, pictures
        self.running: dict[int, tuple[int, int]] = {}
        self.shards_done = self.done = self.bad = 0
        self.start = self.logged = time.monotonic()
        self.bar = tqdm(total=pictures, unit="images", smoothing=0.05) if sys.stderr.isatty() else None

    def update(self, shard: int, done: int, bad: int) -> None:
        self.running[shard] = (done, bad)
        self._show()

    def finish(self, shard: int) -> None:
        """Count what the shard reported as done for good; a failed one has been taken back to zero before."""
        done, bad = self.running.pop(shard, (0, 0))
        self.shards_done += 1
        self.done += done
        self.bad += bad
        self._show()

    def note(self, text: str) -> None:
        """Say something that should not wait for the end."""
        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        if self.bar:
            self.bar.close()
        else:
            self._log()

    def _totals(self) -> tuple[int, int]:
        running = self.running.values()
        return self.done + sum(done for done, _ in running), self.bad + sum(bad for _, bad in running)

    def _show(self) -> None:
        if self.bar:
            done, bad = self._totals()
            self.bar.set_postfix_str(f"shards {self.shards_done}/{self.shards}, bad {bad}", refresh=False)
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self.logged >= LOG_EVERY:
            self._log()

    def _log(self) -> None:
        self.logged = time.monotonic()
        done, bad = self._totals()
        rate = done / max(self.logged - self.start, 1e-9)
        left = tqdm.format_interval((self.pictures - done) / rate) if rate else "?"
        click.echo(
            f"shards {self.shards_done}/{self.shards}, images {done:,}/{self.pictures:,}, "
            f"{rate:.1f} images/s, ETA {left}, bad {bad}",
            err=True,
        )
