"""The order in which samples are read: pure functions of (seed, epoch, layout, counts). Nothing here reads a file.

All shards are laid end to end. A **place** is one sample as an int64, ``shard << 32 | row``, so that places sort
as the dataset does. The order of an epoch is an array of places (steps, batch): what every optimiser step takes,
over all ranks. Ranks and workers take their parts of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

ROW_BITS = 32


class Run(NamedTuple):
    """Samples ``lo`` to ``hi`` (exclusive) of one shard."""

    shard: int
    lo: int
    hi: int

    @property
    def samples(self) -> int:
        return self.hi - self.lo


GOLDEN = 0.6180339887498949  #: its multiples modulo 1 never repeat and are evenly spread
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
    """Cut ``runs`` into consecutive slices of the given sizes; the rest is dropped."""
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


def held_out(counts: Sequence[int], fraction: float, crops: int = 1, shuffled: bool = True) -> tuple[Slice, Slice]:
    """``(training, held out)``: a random ``fraction`` of the pictures is kept away from training.

    Where the distorter shuffled the pictures, that is the end of the dataset. Otherwise pictures are drawn from
    all of it, the same for every seed of training. All ``crops`` of one picture stay on one side.
    """
    total = sum(counts)
    pictures = -(-round(total * fraction) // crops)
    if shuffled:
        cut = total - pictures * crops
        return between(counts, 0, cut), between(counts, cut, total)
    drawn = np.sort(np.random.default_rng(0).permutation(total // crops)[:pictures])
    out = (drawn[:, None] * crops + np.arange(crops)).ravel()
    everything = places(between(counts, 0, total))
    return runs(np.delete(everything, out)), runs(everything[out])


def places(pool: Sequence[Run]) -> np.ndarray:
    """The places of the samples of ``pool``, in its order: int64 (samples,)."""
    parts = [np.arange(run.lo, run.hi) + (run.shard << ROW_BITS) for run in pool]
    return np.concatenate([np.empty(0, np.int64), *parts])


def runs(sorted_places: np.ndarray) -> Slice:
    """Places in the dataset's order as runs of samples that lie next to each other."""
    if not len(sorted_places):
        return []
    starts = np.flatnonzero(np.diff(sorted_places, prepend=-2) != 1)
    ends = np.append(starts[1:], len(sorted_places)) - 1
    shards, lo = split_place(sorted_places[starts])
    hi = split_place(sorted_places[ends])[1] + 1
    return [Run(*run) for run in zip(shards.tolist(), lo.tolist(), hi.tolist(), strict=True)]


def split_place(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shards and rows."""
    return place >> ROW_BITS, place & ((1 << ROW_BITS) - 1)


def steps_per_epoch(samples: int, batch: int) -> int:
    """Steps of ``batch`` samples (over all ranks) in one epoch; fewer samples than one step are left out."""
    return samples // batch


class EpochLayout(NamedTuple):
    """The numbers that decided the order of an epoch when it began.

    A run continued with other ranks or workers keeps the order of its current epoch.
    """

    ranks: int = 1
    workers: int = 1  #: per rank
    accumulate: int = 1  #: pieces in which a rank computes its part of a batch
    shuffle: int = 1  #: samples held to shuffle them, by each worker
    scattered: bool = False  #: every sample anywhere in the epoch; the other numbers then mean nothing


def training(pool: Sequence[Run], *, seed: int, epoch: int, batch: int, layout: EpochLayout) -> np.ndarray:
    """The order of one epoch: places, int64 (steps, batch). No sample twice; less than one step is left out.

    By default the runs of the pool are permuted and joined, and every epoch starts at another position, so that
    it leaves out other samples. The result is cut into one part per rank and worker, which is read in
    sequence through a shuffle buffer. That suits a dataset that the distorter shuffled. ``layout.scattered``
    permutes all samples instead: for class-sorted datasets, and for several crops of one picture.
    """
    steps = steps_per_epoch(size(pool), batch)
    if layout.scattered:
        order = np.random.default_rng([seed, epoch]).permutation(places(pool))
        return order[: steps * batch].reshape(steps, batch)
    ranks, workers, accumulate, buffer, _ = layout
    micro = batch // (ranks * accumulate)
    order = np.empty((steps, ranks, accumulate, micro), np.int64)
    parts = _parts(pool, seed, epoch, layout, micro)
    for rank in range(ranks):
        taken = np.empty((steps * accumulate, micro), np.int64)
        for worker in range(workers):  # a rank takes one batch from each of its workers in turn
            line = places(parts[rank * workers + worker])
            mixed = line[shuffled(len(line), buffer, (seed, epoch, rank, worker))]
            taken[worker::workers] = mixed.reshape(-1, micro)
        order[:, rank] = taken.reshape(steps, accumulate, micro)
    return order.reshape(steps, batch)


def _parts(pool: Sequence[Run], seed: int, epoch: int, layout: EpochLayout, micro: int) -> list[Slice]:
    """What each worker of each rank reads: exactly the samples that its batches need."""
    rng = np.random.default_rng([seed, epoch])
    line = [pool[i] for i in rng.permutation(len(pool))]
    total = size(line)
    start = int((np.random.default_rng(seed).random() + epoch * GOLDEN) % 1 * total)
    tail, head = split(line, [start, total - start])
    batches = steps_per_epoch(total, micro * layout.accumulate * layout.ranks) * layout.accumulate
    sizes = [_share(batches, worker, layout.workers) * micro for worker in range(layout.workers)]
    return split(head + tail, sizes * layout.ranks)


class Read(NamedTuple):
    """Rows of one shard, ascending, that are read together."""

    shard: int
    rows: list[int]


def reads(batches: Sequence[np.ndarray], chunk: int, ahead: int | None = None) -> Iterator[Read]:
    """What to read for ``batches`` of places, in the order in which it is needed.

    When the first of ``chunk`` neighbours is needed, one read fetches all of them that are needed within the next
    ``ahead`` samples (None: no limit).
    """
    line = np.concatenate([np.empty(0, np.int64), *batches])
    order = np.argsort(line, kind="stable")
    bounds = np.flatnonzero(np.diff(line[order] // chunk, prepend=-1))
    chunk_of = np.empty(len(line), np.int64)
    chunk_of[order] = np.repeat(np.arange(len(bounds)), np.diff(bounds, append=len(line)))
    starts = [*bounds.tolist(), len(line)]
    horizon = len(line) if ahead is None else ahead
    held: set[int] = set()
    for time, place in enumerate(line.tolist()):
        if place not in held:
            number = chunk_of[time]
            when = order[starts[number] : starts[number + 1]]  # its samples are needed, by row
            missing = line[when[(when >= time) & (when < time + horizon)]]
            needed = [other for other in missing.tolist() if other not in held]
            held.update(needed)
            shards, rows = split_place(np.array(needed))
            yield Read(int(shards[0]), rows.tolist())
        held.remove(place)


def of_rank(order: np.ndarray, rank: int, ranks: int, accumulate: int = 1) -> list[np.ndarray]:
    """The batches that one rank takes of an epoch's order (steps, batch), ``accumulate`` of them in each step."""
    steps, batch = order.shape
    micro = batch // (ranks * accumulate)
    return list(order.reshape(steps, ranks, accumulate, micro)[:, rank].reshape(steps * accumulate, micro))


def evaluation(pool: Sequence[Run], *, rank: int, ranks: int, batch: int) -> list[np.ndarray]:
    """The batches of places that one rank evaluates: over all ranks every sample exactly once, in order."""
    line = places(pool)
    start, stop = (len(line) * part // ranks for part in (rank, rank + 1))
    return [line[i : min(i + batch, stop)] for i in range(start, stop, batch)]


def _share(count: int, index: int, parts: int) -> int:
    """How many of ``count`` items go to ``index`` when they are dealt out round-robin."""
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
