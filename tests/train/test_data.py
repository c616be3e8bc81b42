"""What comes out of the loader is what the codec wrote, every sample once, in an order that can be continued."""

import os
import shutil
import time
from collections import Counter

import fsspec
import numpy as np
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

from distort.codecs import decode
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.files import Files
from train.feed import slices
from train.feed.data import Batch, Source, Stream
from train.feed.reading import survey
from train.feed.workers import batches
from train.methods.reads import Mixture

pytestmark = pytest.mark.slow


def counts_of(root):
    return survey(Dataset(root), ["clean"]).counts


def read(root, planned, *, columns=("jpeg-10",), workers=0, **options) -> list[Batch]:
    """Copies: a feed uses the memory of its pictures again."""
    with batches(Stream(Source(str(root), columns), planned, **options), workers) as feed:
        return [batch.apply(torch.clone) for batch in feed]


def order_of(root, ranks=1, workers=1, batch=4, epoch=0, shuffle=1, scattered=False):
    """The batches of every rank."""
    counts = counts_of(root)
    pool = slices.between(counts, 0, sum(counts))
    layout = slices.EpochLayout(ranks, workers, 1, shuffle, scattered)
    order = slices.training(pool, seed=0, epoch=epoch, batch=batch * ranks, layout=layout)
    return [slices.of_rank(order, rank, ranks) for rank in range(ranks)]


def sequence(counts, stop, batch):
    return slices.evaluation(slices.between(counts, 0, stop), rank=0, ranks=1, batch=batch)


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
    for batch in read(train_set, order_of(train_set, shuffle=30)[0], columns=("clean", "jpeg-10")):
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
    planned = order_of(train_set, ranks=2, workers=max(workers, 1), shuffle=20)
    found = [read(train_set, part, workers=workers) for part in planned]
    assert [len(part) for part in found] == [14, 14]
    keys = [key for part in found for batch in part for key in batch.keys]
    assert len(keys) == len(set(keys)) == 112


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_two_ranks_evaluate_every_sample_exactly_once(val_set, workers):
    pool = slices.between(counts_of(val_set), 0, 39)
    planned = [slices.evaluation(pool, rank=rank, ranks=2, batch=4) for rank in range(2)]
    keys = [key for part in planned for batch in read(val_set, part, workers=workers) for key in batch.keys]
    assert Counter(keys) == Counter(key for key, *_ in Dataset(val_set).read("clean"))


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize(("began", "workers", "skip"), [(1, 0, 5), (2, 2, 1), (2, 3, 4), (3, 1, 7), (1, 4, 28)])
def test_the_rest_of_an_epoch_is_the_same_whoever_reads_it(train_set, began, workers, skip, scattered):
    plan = order_of(train_set, workers=began, shuffle=25, scattered=scattered)[0]
    ahead = 10 if scattered else None
    whole = read(train_set, plan, workers=began, ahead=ahead)
    rest = read(train_set, plan[skip:], workers=workers, ahead=ahead)
    assert [batch.keys for batch in rest] == [batch.keys for batch in whole[skip:]]
    assert all(
        torch.equal(a.images["jpeg-10"], b.images["jpeg-10"]) for a, b in zip(rest, whole[skip:], strict=True)
    )


def test_what_only_skipped_batches_need_is_not_read(train_set, copied):
    root = copied(train_set)
    plan = [*sequence([40], 40, 4), *(places + (1 << slices.ROW_BITS) for places in sequence([40], 40, 4))]
    (root / "jpeg-10" / "000000.tar").unlink()
    assert len(read(root, plan[10:])) == 10
    with pytest.raises(DatasetError, match=r"000000\.tar is missing"):
        read(root, plan[9:])


def test_neighbours_are_read_together_and_once(train_set, monkeypatch):
    """A run of rows is one read, of which a shuffle buffer holds what is needed later."""
    asked = []
    real = Files.ranges

    def read_and_note(self, file, starts, stops):
        asked.append((file.name, sum(stops) - sum(starts)))
        return real(self, file, starts, stops)

    monkeypatch.setattr(Files, "ranges", read_and_note)
    read(train_set, order_of(train_set, shuffle=30)[0])
    assert len(asked) <= 5  # three shards in runs of at most 64 rows; the line begins in one of them
    asked.clear()
    read(train_set, order_of(train_set, scattered=True)[0], ahead=4)
    assert 40 < len(asked) <= 116


def test_an_epoch_reads_the_payload_of_a_local_dataset_and_nothing_else(train_set, monkeypatch):
    """Not the headers, labels and padding in the tars, which are most of a short bitstream's three members."""
    data = Dataset(train_set)
    sizes = {key: entry.bytes for key, _, entry in data.read("jpeg-10")}
    read_so_far = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, at: read_so_far.append(size) or real(file, size, at))
    keys = [key for batch in read(train_set, order_of(train_set, shuffle=30)[0]) for key in batch.keys]
    assert sum(read_so_far) == sum(sizes[key] for key in keys)
    assert sum(read_so_far) < 0.6 * sum(p.stat().st_size for p in (train_set / "jpeg-10").glob("*.tar"))


def test_the_memory_of_a_batch_is_used_again(train_set):
    with batches(Stream(Source(str(train_set), ("jpeg-10",)), order_of(train_set)[0]), 2, prefetch=5) as feed:
        list(feed)  # leaves more memory than the feeds below need
    with batches(Stream(Source(str(train_set), ("jpeg-10",)), order_of(train_set)[0])) as feed:
        assert len({batch.images["jpeg-10"].data_ptr() for batch in feed}) == 1
    with batches(Stream(Source(str(train_set), ("jpeg-10",)), order_of(train_set)[0]), 2) as feed:
        first = {batch.images["jpeg-10"].data_ptr() for batch in feed}
    assert len(first) == 8
    with batches(Stream(Source(str(train_set), ("jpeg-10",)), order_of(train_set)[0]), 2) as feed:
        assert {batch.images["jpeg-10"].data_ptr() for batch in feed} == first


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mixture_draws_one_column_per_sample_by_seed_epoch_and_key(train_set, workers):
    pictures = {
        key: [decode(entry.data, entry.extension) for entry in entries]
        for key, _, *entries in Dataset(train_set).read("jpeg-10", "j2k-75")
    }
    mixture = Mixture(("jpeg-10", "j2k-75"))
    drawn = {}
    for epoch in (0, 1):
        plan = order_of(train_set, epoch=epoch, shuffle=20)[0]
        for batch in read(train_set, plan, columns=(mixture, "clean"), workers=workers, seed=3, epoch=epoch):
            assert set(batch.images) == {"mixture", "clean"}
            for i, key in enumerate(batch.keys):
                column = int(batch.drawn["mixture"][i])
                assert column == mixture.draw(3, epoch, key)
                assert np.array_equal(batch.images["mixture"][i], pictures[key][column])
                drawn.setdefault(key, []).append(column)
    both = [columns for columns in drawn.values() if len(columns) == 2]
    assert 30 < sum(a != b for a, b in both) < 85


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_that_disappears_is_named(train_set, copied, workers):
    root = copied(train_set)
    plan = order_of(root)[0]
    (root / "jpeg-10" / "000001.tar").unlink()
    with pytest.raises(DatasetError, match=r"jpeg-10/000001\.tar is missing; run distort again") as caught:
        read(root, plan, workers=workers)
    assert "\n" not in str(caught.value)


def test_a_truncated_shard_is_named(train_set, copied):
    root = copied(train_set)
    tar = root / "jpeg-10" / "000001.tar"
    tar.write_bytes(tar.read_bytes()[:-1024])
    with pytest.raises(DatasetError, match=r"000001\.tar has \d+ bytes.*truncated or replaced"):
        survey(Dataset(root), ["jpeg-10"])
    with pytest.raises(DatasetError, match=r"000001\.tar has \d+ bytes.*truncated or replaced"):
        read(root, order_of(train_set)[0])


def test_a_damaged_bitstream_is_named_by_column_shard_and_key(train_set, copied):
    root = copied(train_set)
    row = Dataset(root).parquet("jpeg-10", 0)[0].slice(5, 1).to_pylist()[0]
    tar = root / "jpeg-10" / "000000.tar"
    data = bytearray(tar.read_bytes())
    data[row["offset"] : row["offset"] + row["size"]] = bytes(row["size"])
    tar.write_bytes(data)
    with pytest.raises(DatasetError, match=f"column 'jpeg-10', shard 000000, key '{row['key']}': not a readable"):
        read(root, order_of(root)[0])


def test_columns_with_other_keys_are_refused(train_set, make_tiles, make_set, tmp_path, copied):
    root = copied(train_set)
    for end in ("tar", "parquet"):
        first, second = (root / "jpeg-10" / f"{i:06d}.{end}" for i in (0, 1))
        kept = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(kept)
    plan = sequence([40, 40], 80, 4)
    with pytest.raises(DatasetError, match="has other keys in 'jpeg-10' than in 'clean'"):
        read(root, plan, columns=("clean", "jpeg-10"))


def test_pictures_of_two_sizes_are_refused(make_tiles, make_set, tmp_path):
    source = make_tiles(tmp_path / "source", 4, 5)
    from PIL import Image

    Image.new("RGB", (48, 32)).save(source / "cat" / "small.png")
    root = make_set(source, tmp_path / "set")
    with pytest.raises(DatasetError, match=r"key '.*' is \d+x\d+, others \d+x\d+: .* distort them with a --crop"):
        read(root, sequence([13], 13, 13))


@pytest.fixture
def remote(train_set):
    """The same dataset behind an fsspec url."""
    memory = fsspec.filesystem("memory")
    memory.put(str(train_set), "/train", recursive=True)
    yield "memory://train"
    memory.rm("/train", recursive=True)


def test_a_remote_dataset_reads_like_a_local_one_with_and_without_a_local_copy(train_set, remote, tmp_path):
    plan = order_of(train_set)[0]
    expected = [batch.keys for batch in read(train_set, plan)]
    assert [batch.keys for batch in read(remote, plan)] == expected
    stream = Stream(Source(remote, ("jpeg-10",), cache=str(tmp_path / "cache")), plan)
    with batches(stream) as feed:
        assert [batch.keys for batch in feed] == expected
    assert len(list((tmp_path / "cache").iterdir())) == 3
    fsspec.filesystem("memory").rm("/train/jpeg-10/000000.tar")
    with batches(stream) as feed:
        assert [batch.keys for batch in feed] == expected


class Distant(MemoryFileSystem):
    """Every request takes a while."""

    protocol = "distant"
    store, pseudo_dirs = {}, [""]
    requests, under_way, most = 0, 0, 0

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("distant://", "memory://"))

    def cat_file(self, path, start=None, end=None, **options):
        Distant.requests += 1
        Distant.under_way += 1
        Distant.most = max(Distant.most, Distant.under_way)
        time.sleep(0.02)
        Distant.under_way -= 1
        return super().cat_file(path, start, end, **options)


def test_several_reads_of_a_remote_dataset_are_under_way_together(train_set):
    fsspec.register_implementation("distant", Distant, clobber=True)
    Distant().put(str(train_set), "/train", recursive=True)
    plan = order_of(train_set, scattered=True)[0]
    Distant.requests = 0
    there = read("distant://train", plan, ahead=30)
    assert 4 < Distant.most <= 16
    assert Distant.requests < 120
    for a, b in zip(there, read(train_set, plan), strict=True):
        assert a.keys == b.keys
        assert torch.equal(a.images["jpeg-10"], b.images["jpeg-10"])


def test_the_rows_of_a_remote_shard_are_fetched_once_and_before_its_first_sample_is_needed(train_set, monkeypatch):
    fsspec.register_implementation("distant", Distant, clobber=True)
    Distant().put(str(train_set), "/train", recursive=True)
    asked = []
    real = Dataset.parquet

    def parquet(self, name, shard, columns=None):
        asked.append(shard)
        time.sleep(0.05)
        return real(self, name, shard, columns)

    monkeypatch.setattr(Dataset, "parquet", parquet)
    stream = Stream(Source("distant://train", ("jpeg-10",)), sequence(counts_of(train_set), 119, 4))
    asked.clear()
    part = stream.part()
    next(part)
    until = time.monotonic() + 60
    while len(asked) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert sorted(asked) == [0, 1, 2]
    assert len(list(part)) == 29
    assert sorted(asked) == [0, 1, 2]


def test_a_remote_shard_that_disappears_is_named(train_set, remote):
    fsspec.filesystem("memory").rm("/train/jpeg-10/000001.tar")
    with pytest.raises(DatasetError, match=r"jpeg-10/000001\.tar is missing; run distort again"):
        read(remote, order_of(train_set)[0])


def test_a_damaged_remote_shard_does_not_enter_the_cache(train_set, remote, tmp_path):
    tar = bytearray((train_set / "jpeg-10" / "000000.tar").read_bytes())
    tar[1000] ^= 1
    fsspec.filesystem("memory").pipe("/train/jpeg-10/000000.tar", bytes(tar))
    source = Source(remote, ("jpeg-10",), cache=str(tmp_path / "cache"))
    with pytest.raises(
        DatasetError, match=r"jpeg-10/000000\.tar: its sha256 differs from the one in its Parquet file"
    ):
        list(Stream(source, order_of(train_set)[0]).part())


def test_a_dataset_without_classes_is_refused(train_source, make_set, tmp_path):
    flat = tmp_path / "flat"
    shutil.copytree(train_source / "cat", flat)
    root = make_set(flat, tmp_path / "set")
    with pytest.raises(DatasetError, match="has no labels"):
        survey(Dataset(root), ["clean"])
