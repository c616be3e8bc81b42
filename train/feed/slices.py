"""Who reads what: pure functions from (seed, epoch, world, workers, counts) to runs of samples.

All shards are laid end to end; a position in that line is one sample. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Run(NamedTuple):
    """Samples ``lo`` to ``hi`` (exclusive) of one shard."""

    shard: int
    lo: int
    hi: int

    @property
    def samples(self) -> int:
        return self.hi - self.lo


GOLDEN = 0.6180339887498949  #: its multiples, modulo 1, never repeat and spread evenly
Slice = list[Run]  #: what one worker reads in one epoch, in this order


def size(runs: Sequence[Run]) -> int:
    """How many samples there are in ``runs``."""
    return sum(run.samples for run in runs)


def between(counts: Sequence[int], start: int, stop: int) -> Slice:
    """Samples ``start`` to ``stop`` (exclusive) of shards that hold ``counts`` samples each."""
    found, base = [], 0
    for shard, count in enumerate(counts):
        lo, hi = max(start - base, 0), min(stop - base, count)
        if lo < hi:
            found.append(Run(shard, lo, hi))
        base += count
    return found


def split(runs: Sequence[Run], sizes: Sequence[int]) -> list[Slice]:
    """Cut ``runs`` into consecutive slices of so many samples each; what is left over at the end is dropped."""
    queue = list(reversed(runs))
    slices = []
    for wanted in sizes:
        taken: Slice = []
        while wanted:
            run = queue.pop()
            cut = min(run.lo + wanted, run.hi)
            taken.append(run._replace(hi=cut))
            wanted -= cut - run.lo
            if cut < run.hi:
                queue.append(run._replace(lo=cut))
        slices.append(taken)
    return slices


def held_out(counts: Sequence[int], fraction: float, crops: int = 1) -> tuple[Slice, Slice]:
    """``(training, held out)``: the last ``fraction`` of the samples is kept away from training.

    The distorter shuffled the pictures, so the end of a dataset is a random sample of it. All ``crops`` of one
    picture lie next to each other and stay on one side.
    """
    total = sum(counts)
    out = -(-round(total * fraction) // crops) * crops
    return between(counts, 0, total - out), between(counts, total - out, total)


def steps_per_epoch(samples: int, batch: int) -> int:
    """Steps of ``batch`` samples (over all ranks) in one epoch; fewer samples than one step are left out."""
    return samples // batch


def training(
    pool: Sequence[Run], *, seed: int, epoch: int, world: int, workers: int, batch: int, per_step: int = 1
) -> list[list[Slice]]:
    """One epoch of training: ``[rank][worker]`` -> slice. No sample twice.

    ``batch`` is the micro-batch of one rank; an optimiser step takes ``per_step`` of them from each of
    ``world`` ranks. The runs of the pool are permuted and the line is turned to another start, so that the
    tail, smaller than one step, is another one in every epoch even with a single shard. A worker gets as many
    samples as the DataLoader will ask of it when it takes one batch from each worker in turn.
    """
    rng = np.random.default_rng([seed, epoch])
    line = [pool[i] for i in rng.permutation(len(pool))]
    total = size(line)
    start = int((np.random.default_rng(seed).random() + epoch * GOLDEN) % 1 * total)
    tail, head = split(line, [start, total - start])
    batches = steps_per_epoch(total, batch * per_step * world) * per_step
    sizes = [_share(batches, worker, workers) * batch for _ in range(world) for worker in range(workers)]
    flat = split(head + tail, sizes)
    return [flat[rank * workers : (rank + 1) * workers] for rank in range(world)]


def evaluation(pool: Sequence[Run], *, world: int, workers: int) -> list[list[Slice]]:
    """``[rank][worker]`` -> slice: every sample exactly once, in order, in parts that differ by one at most."""
    total, parts = size(pool), world * workers
    flat = split(pool, [_share(total, part, parts) for part in range(parts)])
    return [flat[rank * workers : (rank + 1) * workers] for rank in range(world)]


def _share(count: int, index: int, parts: int) -> int:
    """How many of ``count`` things dealt out in turn come to ``index``."""
    return (count - index + parts - 1) // parts


def shuffled(count: int, buffer: int, seed: Sequence[int]) -> np.ndarray:
    """The order in which ``count`` samples leave a shuffle buffer that holds ``buffer`` of them: int64 (count,).

    The t-th sample to leave is one of the first ``t + buffer`` to enter.
    """
    if buffer <= 1:
        return np.arange(count)
    held = list(range(min(buffer, count)))
    rng = np.random.default_rng(list(seed))
    order = np.empty(count, np.int64)
    streaming = count - len(held)
    for t, slot in enumerate(rng.integers(0, len(held), streaming).tolist() if streaming else ()):
        order[t] = held[slot]
        held[slot] = t + buffer
    order[streaming:] = rng.permutation(held)
    return order
