"""The order of samples: nothing twice, nothing lost, and the same for everybody who asks again."""

import hashlib
import itertools

import numpy as np
import pytest

from train.feed import slices
from train.feed.slices import EpochLayout, Run

COUNTS = [50, 7, 0, 33, 1, 29]
TOTAL = sum(COUNTS)
WAYS = list(itertools.product([1, 2, 3], [1, 2, 3]))


def samples(places):
    return list(zip(*(part.tolist() for part in slices.split_place(np.ravel(places))), strict=True))


def everything(counts):
    return {(shard, row) for shard, count in enumerate(counts) for row in range(count)}


def epoch(number, ranks=2, workers=3, counts=COUNTS, *, seed=0, micro=4, accumulate=1, **layout):
    pool = slices.between(counts, 0, sum(counts))
    layout = EpochLayout(ranks, workers, accumulate, **layout)
    return slices.training(pool, seed=seed, epoch=number, batch=micro * ranks * accumulate, layout=layout)


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize(("ranks", "workers"), WAYS)
def test_an_epoch_repeats_no_sample_and_leaves_out_less_than_one_step(ranks, workers, scattered):
    order = epoch(0, ranks, workers, shuffle=20, scattered=scattered)
    read = samples(order)
    assert len(read) == len(set(read))
    assert set(read) <= everything(COUNTS)
    assert order.shape == (TOTAL // (4 * ranks), 4 * ranks)


def test_accumulation_makes_the_step_larger():
    assert epoch(0, 2, 1, accumulate=3).shape == (TOTAL // 24, 24)


@pytest.mark.parametrize(
    ("layout", "batch", "seed", "number", "sha256"),
    [
        (EpochLayout(1, 1, 1, 1000), 64, 0, 0, "1a5b2b451c06ba10575334722eec9a0e68fdf4275875b56238ded268e79cea8b"),
        (EpochLayout(2, 3, 2, 100), 32, 5, 2, "4fcb19f8ac55fd59c8b8168669e910345403687bbbdd1f718a69c9e0c81b01f7"),
        (EpochLayout(3, 2, 1, 1), 48, 1, 7, "6a8cd1e284bcba16f4f2afeb3a6dc596b45373975aa52fb4fc6be34560176b79"),
        (EpochLayout(1, 2, 1, 200), 64, 3, 1, "70bd2315f8647af4ed6e70ceaaecabf8d8196aac87dee05dac9a631eb9c0fde0"),
    ],
)
def test_the_order_of_an_epoch_is_what_the_first_version_read(layout, batch, seed, number, sha256):
    """Hashes of what its loader gave on a dataset of these counts: runs can be repeated with any version."""
    pool, _ = slices.held_out([500, 500, 280], 0.02)
    order = slices.training(pool, seed=seed, epoch=number, batch=batch, layout=layout)
    assert hashlib.sha256(order.astype("<i8").tobytes()).hexdigest() == sha256


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (2, 1), (1, 4), (3, 2)])
def test_other_ranks_take_the_same_steps(ranks, accumulate):
    order = epoch(3, 2, 3, micro=6, accumulate=2, shuffle=10)
    parts = [slices.of_rank(order, rank, ranks, accumulate) for rank in range(ranks)]
    for step, places in enumerate(order):
        taken = [part[step * accumulate + i] for part in parts for i in range(accumulate)]
        assert np.concatenate(taken).tolist() == places.tolist()


def test_after_the_last_step_of_an_epoch_nothing_is_left_to_take():
    order = epoch(0, 2, 2)
    assert slices.of_rank(order[len(order) :], 1, 2) == []


def test_who_began_an_epoch_reads_its_own_part_in_sequence():
    """The parts of ranks and workers are runs of the dataset, so that reading ahead pays."""
    order = epoch(0, 2, 2, counts=[1000])
    for rank in range(2):
        mine = slices.of_rank(order, rank, 2)
        for worker in range(2):
            read = np.concatenate(mine[worker::2])
            assert (np.diff(read) == 1).sum() >= len(read) - 2


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("counts", [COUNTS, [103]])
def test_another_tail_is_left_out_in_every_epoch(counts, scattered):
    def tail(number):
        order = epoch(number, counts=counts, micro=7, workers=1, scattered=scattered)
        return frozenset(everything(counts) - set(samples(order)))

    tails = [tail(number) for number in range(8)]
    assert all(tails)
    assert len(set(tails)) == 8


@pytest.mark.parametrize("scattered", [False, True])
def test_the_same_epoch_is_the_same_again_and_another_seed_is_another_order(scattered):
    first = epoch(3, scattered=scattered)
    assert (first == epoch(3, scattered=scattered)).all()
    assert (first != epoch(4, scattered=scattered)).any()
    assert (first != epoch(3, seed=1, scattered=scattered)).any()


def test_scattered_batches_hold_crops_of_different_pictures():
    """5 crops of a picture lie side by side; a batch of 96 should hold what chance gives."""
    order = epoch(0, 1, 1, counts=[5000, 5000], micro=100, shuffle=100, scattered=True)
    pictures = [len(set((places // 5).tolist())) for places in order]
    expected = 2000 * (1 - (1 - 1 / 2000) ** 100)
    assert np.mean(pictures) == pytest.approx(expected, abs=1)
    close = epoch(0, 1, 1, counts=[5000, 5000], micro=100, shuffle=100)
    assert np.mean([len(set((places // 5).tolist())) for places in close]) < 80


def test_scattered_batches_mix_classes_of_a_sorted_dataset():
    order = epoch(0, 1, 1, counts=[1000] * 10, micro=100, scattered=True)
    assert min(len({shard for shard, _ in samples(places)}) for places in order) >= 8


@pytest.mark.parametrize("ahead", [None, 1, 8, 30])
@pytest.mark.parametrize("layout", [{"shuffle": 20}, {"scattered": True}])
def test_reads_bring_every_sample_before_it_is_needed_and_once(layout, ahead):
    mine = slices.of_rank(epoch(0, 2, 1, **layout), 0, 2)
    wanted = [place for places in mine for place in places.tolist()]
    read, brought = iter(slices.reads(mine, 16, ahead)), []
    for used, place in enumerate(wanted):
        while place not in brought[used:]:
            shard, rows = next(read)
            assert rows == sorted(rows)
            assert rows[0] // 16 == rows[-1] // 16
            brought += [shard << slices.ROW_BITS | row for row in rows]
        brought.remove(place)
        brought.insert(used, place)
        assert ahead is None or len(brought) - used <= ahead
    assert next(read, None) is None
    assert sorted(brought) == sorted(wanted)


@pytest.mark.parametrize(("ranks", "batch"), [(1, 64), (2, 5), (3, 7), (40, 1), (7, 1000)])
def test_evaluation_reads_every_sample_exactly_once(ranks, batch):
    pool = slices.between(COUNTS, 0, TOTAL)
    parts = [slices.evaluation(pool, rank=rank, ranks=ranks, batch=batch) for rank in range(ranks)]
    assert samples(np.concatenate([b for part in parts for b in part])) == sorted(everything(COUNTS))
    sizes = [sum(map(len, part)) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert max(len(b) for part in parts for b in part) <= batch


def test_what_is_held_out_is_never_trained_on():
    for shuffled in (True, False):
        training, held_out = slices.held_out(COUNTS, 0.1, shuffled=shuffled)
        assert slices.size(held_out) == 12
        both = [samples(slices.places(part)) for part in (training, held_out)]
        assert set(both[0]) | set(both[1]) == everything(COUNTS)
        assert not set(both[0]) & set(both[1])


def test_of_a_sorted_dataset_a_random_part_is_held_out():
    """The end of it would be one class."""
    _, held_out = slices.held_out([1000] * 10, 0.1, shuffled=False)
    by_shard = np.bincount([run.shard for run in held_out], [run.samples for run in held_out])
    assert by_shard.sum() == 1000
    assert by_shard.min() > 60
    assert slices.held_out([1000] * 10, 0.1, shuffled=False)[1] == held_out


@pytest.mark.parametrize("shuffled", [True, False])
def test_all_crops_of_one_picture_are_held_out_together(shuffled):
    training, held_out = slices.held_out([30, 30], 0.1, crops=5, shuffled=shuffled)
    assert slices.size(held_out) == 10
    assert slices.size(training) == 50
    pictures = [{(shard, row // 5) for shard, row in samples(slices.places(p))} for p in (training, held_out)]
    assert not pictures[0] & pictures[1]


def test_runs_and_places_are_two_ways_of_saying_the_same():
    pool = [Run(0, 3, 9), Run(0, 11, 12), Run(2, 0, 5), Run(3, 5, 6)]
    assert slices.runs(slices.places(pool)) == pool
    assert slices.runs(slices.places([])) == []
    whole = slices.between(COUNTS, 0, TOTAL)
    assert slices.runs(slices.places(whole)) == whole


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
