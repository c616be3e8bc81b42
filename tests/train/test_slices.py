"""Who reads what: nothing twice, nothing lost, and the same for everybody who asks again."""

import itertools

import numpy as np
import pytest

from train.feed import slices
from train.feed.slices import Run

COUNTS = [50, 7, 0, 33, 1, 29]
WAYS = list(itertools.product([1, 2, 3], [1, 2, 3]))


def samples(runs):
    return [(run.shard, row) for run in runs for row in range(run.lo, run.hi)]


def everything(counts):
    return {(shard, row) for shard, count in enumerate(counts) for row in range(count)}


def epoch(number, world=2, workers=3, counts=COUNTS, **options):
    options = {"seed": 0, "batch": 4, **options}
    pool = slices.between(counts, 0, sum(counts))
    return slices.training(pool, epoch=number, world=world, workers=workers, **options)


@pytest.mark.parametrize(("world", "workers"), WAYS)
def test_an_epoch_repeats_no_sample_and_leaves_out_less_than_one_step(world, workers):
    read = [sample for rank in epoch(0, world, workers) for part in rank for sample in samples(part)]
    assert len(read) == len(set(read))
    assert set(read) <= everything(COUNTS)
    assert sum(COUNTS) - len(read) == sum(COUNTS) % (4 * world)


def test_accumulation_makes_the_step_larger():
    read = [sample for rank in epoch(0, 2, 1, per_step=3) for part in rank for sample in samples(part)]
    assert len(read) == sum(COUNTS) // 24 * 24


@pytest.mark.parametrize(("world", "workers"), WAYS)
def test_every_worker_can_fill_the_batches_that_it_is_asked_for(world, workers):
    for rank in epoch(0, world, workers):
        sizes = [slices.size(part) for part in rank]
        batches = sum(sizes) // 4
        assert sizes == [4 * len(range(worker, batches, workers)) for worker in range(workers)]


@pytest.mark.parametrize("counts", [COUNTS, [103]])
def test_another_tail_is_left_out_in_every_epoch(counts):
    def tail(number):
        planned = epoch(number, counts=counts, batch=7, workers=1)
        return frozenset(everything(counts) - {s for rank in planned for part in rank for s in samples(part)})

    tails = [tail(number) for number in range(8)]
    assert all(tails)
    assert len(set(tails)) == 8


def test_the_same_epoch_is_the_same_again_and_another_seed_is_another_order():
    assert epoch(3) == epoch(3)
    assert epoch(3) != epoch(4)
    assert epoch(3) != epoch(3, seed=1)


@pytest.mark.parametrize(("world", "workers"), [*WAYS, (5, 7), (40, 4)])
def test_evaluation_reads_every_sample_exactly_once(world, workers):
    pool = slices.between(COUNTS, 0, sum(COUNTS))
    planned = slices.evaluation(pool, world=world, workers=workers)
    read = [sample for rank in planned for part in rank for sample in samples(part)]
    assert sorted(read) == sorted(everything(COUNTS))
    sizes = [slices.size(part) for rank in planned for part in rank]
    assert max(sizes) - min(sizes) <= 1


def test_what_is_held_out_is_never_trained_on():
    training, held_out = slices.held_out(COUNTS, 0.1)
    assert slices.size(held_out) == 12
    assert set(samples(training)) | set(samples(held_out)) == everything(COUNTS)
    assert not set(samples(training)) & set(samples(held_out))


def test_all_crops_of_one_picture_are_held_out_together():
    training, held_out = slices.held_out([30, 30], 0.1, crops=5)
    assert slices.size(held_out) == 10
    assert slices.size(training) == 50


def test_a_shuffle_buffer_reorders_without_loss_and_never_looks_further_ahead_than_it_holds():
    order = slices.shuffled(1000, 100, [1, 2])
    assert sorted(order) == list(range(1000))
    assert (order <= np.arange(1000) + 99).all()
    assert np.abs(order - np.arange(1000)).mean() > 40
    assert (order == slices.shuffled(1000, 100, [1, 2])).all()
    assert (order != slices.shuffled(1000, 100, [1, 3])).any()


@pytest.mark.parametrize(("count", "buffer"), [(0, 5), (1, 5), (5, 1), (5, 5), (5, 50), (0, 1)])
def test_a_shuffle_buffer_may_be_larger_than_what_is_shuffled(count, buffer):
    assert sorted(slices.shuffled(count, buffer, [0])) == list(range(count))


def test_between_skips_what_lies_before_and_after():
    assert slices.between([10, 10, 10], 8, 21) == [Run(0, 8, 10), Run(1, 0, 10), Run(2, 0, 1)]
