"""Progress of a job over all its shards."""

from __future__ import annotations

from shards.console import Bar


class ShardProgress:
    """Counts the pictures of all shards and shows them in one ``Bar``."""

    def __init__(self, shards: int, pictures: int, quiet: bool = False):
        self.shards = shards
        self.running: dict[int, tuple[int, int]] = {}
        self.shards_done = self.done = self.bad = 0
        self.bar = Bar("distort", pictures, quiet=quiet)

    def update(self, shard: int, done: int, bad: int) -> None:
        self.running[shard] = (done, bad)
        self._show()

    def finish(self, shard: int) -> None:
        """Count the pictures of an ended shard. (A failed one has been reset to zero before.)"""
        done, bad = self.running.pop(shard, (0, 0))
        self.shards_done += 1
        self.done += done
        self.bad += bad
        self._show()

    def note(self, text: str) -> None:
        """Print a message at once."""
        self.bar.say(text)

    def close(self) -> None:
        self.bar.close()

    def _show(self) -> None:
        running = self.running.values()
        bad = self.bad + sum(bad for _, bad in running)
        self.bar.update(
            self.done + sum(done for done, _ in running), f"shards {self.shards_done}/{self.shards}, bad {bad}"
        )
