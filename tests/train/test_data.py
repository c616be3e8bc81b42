"""What comes out of the loader is what the codec wrote, every sample once, in an order that can be continued."""

import shutil
from collections import Counter

import fsspec
import numpy as np
import pytest
import torch

from distort.codecs import decode
from shards.dataset import Dataset
from shards.errors import DatasetError
from train.feed import slices
from train.feed.data import Source, Stream
from train.feed.reading import survey
from train.feed.workers import batches


def counts_of(root):
    return survey(Dataset(root), ["clean"]).counts


def read(root, planned, *, columns=("jpeg-10",), batch=4, processes=False, **options):
    stream = Stream(Source(str(root), columns), planned, batch, **options)
    with batches(stream, processes=processes) as feed:
        return list(feed)


def training_plan(root, world=1, workers=1, batch=4, epoch=0):
    counts = counts_of(root)
    pool = slices.between(counts, 0, sum(counts))
    return slices.training(pool, seed=0, epoch=epoch, world=world, workers=workers, batch=batch)


def test_the_shards_of_these_tests_are_uneven(train_set, val_set):
    assert sum(counts_of(train_set)) == 119
    assert len(set(counts_of(train_set))) > 1
    assert counts_of(val_set) == (16, 16, 7)


def test_a_batch_holds_the_decoded_bitstreams_with_their_labels_and_keys(train_set):
    expected = {
        key: (label, decode(clean.data, clean.extension), decode(jpeg.data, jpeg.extension))
        for key, label, clean, jpeg in Dataset(train_set).read("clean", "jpeg-10")
    }
    seen = 0
    for batch in read(train_set, training_plan(train_set)[0], columns=("clean", "jpeg-10"), buffer=30):
        assert batch.images["clean"].dtype == torch.uint8
        assert batch.images["clean"].shape == (4, 64, 64, 3)
        for i, key in enumerate(batch.keys):
            label, clean, jpeg = expected[key]
            assert batch.labels[i] == label
            assert np.array_equal(batch.images["clean"][i], clean)
            assert np.array_equal(batch.images["jpeg-10"][i], jpeg)
            seen += 1
    assert seen == 116


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_two_ranks_train_on_no_sample_twice(train_set, workers):
    planned = training_plan(train_set, world=2, workers=max(workers, 1))
    found = [read(train_set, part, processes=workers > 0, buffer=20) for part in planned]
    assert [len(part) for part in found] == [14, 14]
    keys = [key for part in found for batch in part for key in batch.keys]
    assert len(keys) == len(set(keys)) == 112


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_two_ranks_evaluate_every_sample_exactly_once(val_set, workers):
    planned = slices.evaluation(slices.between(counts_of(val_set), 0, 39), world=2, workers=max(workers, 1))
    keys = [key for part in planned for batch in read(val_set, part, processes=workers > 0) for key in batch.keys]
    assert Counter(keys) == Counter(key for key, *_ in Dataset(val_set).read("clean"))


@pytest.mark.parametrize(("workers", "skip"), [(1, 0), (1, 5), (2, 1), (2, 4), (3, 7), (3, 28)])
def test_skipping_batches_gives_the_rest_of_the_same_epoch(train_set, workers, skip):
    plan = training_plan(train_set, workers=workers)[0]
    whole = read(train_set, plan, processes=workers > 1, buffer=25, seed=(1, 2))
    rest = read(train_set, plan, processes=workers > 1, buffer=25, seed=(1, 2), skip=skip)
    assert [batch.keys for batch in rest] == [batch.keys for batch in whole[skip:]]
    assert all(
        torch.equal(a.images["jpeg-10"], b.images["jpeg-10"]) for a, b in zip(rest, whole[skip:], strict=True)
    )


def test_what_only_skipped_batches_need_is_not_read(train_set, copied):
    root = copied(train_set)
    plan = [[slices.Run(0, 0, 40), slices.Run(1, 0, 40)]]
    (root / "jpeg-10" / "000000.tar").unlink()
    assert len(read(root, plan, skip=10)) == 10
    with pytest.raises(DatasetError, match=r"000000\.tar is missing"):
        read(root, plan, skip=9)


def test_the_buffer_mixes_and_its_seed_decides_how(train_set):
    plan = training_plan(train_set)[0]
    orders = [
        [key for batch in read(train_set, plan, **options) for key in batch.keys]
        for options in ({}, {"buffer": 50, "seed": (1,)}, {"buffer": 50, "seed": (2,)})
    ]
    assert len({tuple(order) for order in orders}) == 3
    assert len({frozenset(order) for order in orders}) == 1


@pytest.mark.parametrize("processes", [False, True])
def test_a_shard_that_disappears_is_named(train_set, copied, processes):
    root = copied(train_set)
    plan = training_plan(root)[0]
    (root / "jpeg-10" / "000001.tar").unlink()
    with pytest.raises(DatasetError, match=r"jpeg-10/000001\.tar is missing; run distort again") as caught:
        read(root, plan, processes=processes)
    assert "\n" not in str(caught.value)


def test_a_truncated_shard_is_named(train_set, copied):
    root = copied(train_set)
    tar = root / "jpeg-10" / "000001.tar"
    tar.write_bytes(tar.read_bytes()[:-1024])
    with pytest.raises(DatasetError, match=r"000001\.tar has \d+ bytes.*truncated or replaced"):
        survey(Dataset(root), ["jpeg-10"])
    with pytest.raises(DatasetError, match=r"000001\.tar has \d+ bytes.*truncated or replaced"):
        read(root, training_plan(train_set)[0])


def test_a_damaged_bitstream_is_named_by_column_shard_and_key(train_set, copied):
    root = copied(train_set)
    row = Dataset(root).parquet("jpeg-10", 0)[0].slice(5, 1).to_pylist()[0]
    tar = root / "jpeg-10" / "000000.tar"
    data = bytearray(tar.read_bytes())
    data[row["offset"] : row["offset"] + row["size"]] = bytes(row["size"])
    tar.write_bytes(data)
    with pytest.raises(DatasetError, match=f"column 'jpeg-10', shard 000000, key '{row['key']}': not a readable"):
        read(root, training_plan(root)[0])


def test_columns_with_other_keys_are_refused(train_set, make_tiles, make_set, tmp_path, copied):
    root = copied(train_set)
    for end in ("tar", "parquet"):
        first, second = (root / "jpeg-10" / f"{i:06d}.{end}" for i in (0, 1))
        kept = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(kept)
    plan = [slices.between([40, 40], 0, 80)]
    with pytest.raises(DatasetError, match="has other keys in 'jpeg-10' than in 'clean'"):
        read(root, plan, columns=("clean", "jpeg-10"))


def test_pictures_of_two_sizes_are_refused(make_tiles, make_set, tmp_path):
    source = make_tiles(tmp_path / "source", 4, 5)
    from PIL import Image

    Image.new("RGB", (48, 32)).save(source / "cat" / "small.png")
    root = make_set(source, tmp_path / "set")
    with pytest.raises(DatasetError, match=r"key '.*' is \d+x\d+, others \d+x\d+: .* distort them with a --crop"):
        read(root, [slices.between([13], 0, 13)], batch=13)


@pytest.fixture
def remote(train_set):
    """The same dataset behind an fsspec url."""
    memory = fsspec.filesystem("memory")
    memory.put(str(train_set), "/train", recursive=True)
    yield "memory://train"
    memory.rm("/train", recursive=True)


def test_a_remote_dataset_reads_like_a_local_one_with_and_without_a_local_copy(train_set, remote, tmp_path):
    plan = training_plan(train_set)[0]
    expected = [batch.keys for batch in read(train_set, plan)]
    assert [batch.keys for batch in read(remote, plan)] == expected
    source = Source(remote, ("jpeg-10",), cache=str(tmp_path / "cache"))
    assert [batch.keys for batch in Stream(source, plan, 4).part(0)] == expected
    assert len(list((tmp_path / "cache").iterdir())) == 3
    fsspec.filesystem("memory").rm("/train/jpeg-10/000000.tar")
    assert [batch.keys for batch in Stream(source, plan, 4).part(0)] == expected


def test_a_damaged_remote_shard_does_not_enter_the_cache(train_set, remote, tmp_path):
    tar = bytearray((train_set / "jpeg-10" / "000000.tar").read_bytes())
    tar[1000] ^= 1
    fsspec.filesystem("memory").pipe("/train/jpeg-10/000000.tar", bytes(tar))
    source = Source(remote, ("jpeg-10",), cache=str(tmp_path / "cache"))
    with pytest.raises(DatasetError, match=r"jpeg-10/000000\.tar: its sha256 is not the one in its Parquet file"):
        list(Stream(source, training_plan(train_set)[0], 4).part(0))


def test_a_dataset_without_classes_is_refused(train_source, make_set, tmp_path):
    flat = tmp_path / "flat"
    shutil.copytree(train_source / "cat", flat)
    root = make_set(flat, tmp_path / "set")
    with pytest.raises(DatasetError, match="has no labels"):
        survey(Dataset(root), ["clean"])
