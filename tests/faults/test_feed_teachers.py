"""Cached teachers that were damaged: noticed when read, by ``shards verify``, and never kept by teaching again."""

import json

import pytest

from shards.dataset import Dataset
from shards.verify import verify
from train.feed import teachers
from train.feed.data import Source, Stream
from train.feed.slices import Run, evaluation
from train.feed.workers import batches


@pytest.fixture
def cached(copied, train_set):
    """A dataset with the cache of a teacher "t" that says something of every sample; its folder."""
    import numpy as np

    root = copied(train_set)
    dataset = Dataset(root)
    entries = []
    for shard in range(dataset.plan.shards):
        table, mark = dataset.parquet("clean", shard, ["key"])
        scores = np.full((len(table), 3), -1, np.float16)
        keys = table["key"].to_pylist()
        teachers.write_shard(dataset.storage, "t", shard, scores, mark.tar_sha256, keys)
        entries.append(teachers.entry(dataset.storage, "t", shard))
    teachers.write_record(dataset, "t", {}, entries)
    return root, root / "teachers" / "t"


def flip(file, at=-5):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def read(root):
    source = Source(str(root), ("jpeg-10",), teacher="t")
    pool = [Run(0, 0, 8), Run(1, 0, 8)]
    with batches(Stream(source, evaluation(pool, rank=0, ranks=1, batch=4))) as feed:
        return list(feed)


def test_a_flipped_byte_is_noticed_when_it_is_read(cached):
    root, folder = cached
    assert len(read(root)) == 4
    flip(folder / "000001.safetensors")
    with pytest.raises(
        ValueError, match=r"t/000001\.safetensors: its sha256 differs from the one in teacher\.json"
    ):
        read(root)


def test_verify_checks_the_hashes_of_teachers(cached):
    root, folder = cached
    assert list(verify(Dataset(root))) == []
    flip(folder / "000001.safetensors")
    (folder / "000002.safetensors").unlink()
    (root / "teachers" / "u").mkdir()
    (root / "teachers" / "u" / "teacher.json").write_text("[]")
    damaged, missing, record = sorted(verify(Dataset(root)))
    assert damaged.startswith("teachers/t/000001.safetensors: its sha256 differs from the one in teacher.json")
    assert missing.startswith("teachers/t/000002.safetensors is missing")
    assert record.startswith("teachers/u/teacher.json is damaged")


@pytest.mark.parametrize("at", [-5, 12])
@pytest.mark.parametrize("with_record", [True, False])
def test_a_damaged_shard_does_not_count_as_present(cached, at, with_record):
    root, folder = cached
    flip(folder / "000001.safetensors", at)
    if not with_record:
        (folder / "teacher.json").unlink()
    dataset = Dataset(root)
    before = teachers.recorded(dataset, "t")
    there = [teachers.entry(dataset.storage, "t", shard, before.get(shard)) for shard in range(3)]
    assert [entry is not None for entry in there] == [True, False, True]


def test_a_shard_without_a_hash_of_its_scores_counts_by_the_record_only(cached):
    """Caches of earlier versions carry no hash of their own."""
    root, folder = cached
    file = folder / "000000.safetensors"
    data = file.read_bytes()
    header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    file.write_bytes(data.replace(b"scores_sha256", b"scores_SHA256"))
    assert b"scores_sha256" in header
    dataset = Dataset(root)
    assert teachers.entry(dataset.storage, "t", 0) is None
    import hashlib

    recorded = hashlib.sha256(file.read_bytes()).hexdigest()
    assert teachers.entry(dataset.storage, "t", 0, recorded)["sha256"] == recorded


@pytest.mark.parametrize(
    "change",
    [
        lambda record: [],
        lambda record: {},
        lambda record: record | {"shards": record["shards"][:2]},
        lambda record: record | {"shards": [{}] * 3},
        lambda record: record | {"shards": [None] * 3},
        lambda record: record | {"classes": "3"},
        lambda record: record | {"versions": None},
        lambda record: record | {"shards": [entry | {"samples": 10**9} for entry in record["shards"]]},
    ],
)
def test_a_damaged_record_is_said_in_one_line(cached, change):
    root, folder = cached
    file = folder / "teacher.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(
        ValueError, match=r"t/teacher\.json is damaged: .*; delete it and run 'train teach'"
    ) as error:
        read(root)
    assert "\n" not in str(error.value)
