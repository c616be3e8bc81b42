"""How far a job is, over all its shards, finished and running."""

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
        """Count what the shard reported as done for good; a failed one has been taken back to zero before."""
        done, bad = self.running.pop(shard, (0, 0))
        self.shards_done += 1
        self.done += done
        self.bad += bad
        self._show()

    def note(self, text: str) -> None:
        """Say something that should not wait for the end."""
        self.bar.say(text)

    def close(self) -> None:
        self.bar.close()

    def _show(self) -> None:
        running = self.running.values()
        bad = self.bad + sum(bad for _, bad in running)
        self.bar.update(
            self.done + sum(done for done, _ in running), f"shards {self.shards_done}/{self.shards}, bad {bad}"
        )
