"""Random access: by position, key and slice, the same samples as reading in order, local and remote."""

import os
import pickle
import re
import shutil
from pathlib import Path

import fsspec
import pytest
from torch.utils.data import DataLoader

import shards
from shards import DatasetError
from shards.access import ColumnReader
from shards.dataset import Dataset
from shards.files import Files

COLUMNS = ("clean", "jpeg-10")


@pytest.fixture
def copy(dataset, tmp_path):
    """A dataset to be damaged."""
    return Path(shutil.copytree(dataset, tmp_path / "val"))


@pytest.fixture(params=["local", "remote"])
def place(request, copy):
    """``(url, change)``: the same dataset on disk and behind a url; ``change(name, data)`` replaces or removes."""
    if request.param == "local":

        def change(name, data):
            (copy / name).unlink()
            if data is not None:
                (copy / name).write_bytes(data)

        yield str(copy), change
        return
    memory = fsspec.filesystem("memory")
    memory.put(str(copy), "/access", recursive=True)
    try:
        yield (
            "memory://access",
            lambda name, data: (
                memory.rm(f"/access/{name}") if data is None else memory.pipe(f"/access/{name}", data)
            ),
        )
    finally:
        memory.rm("/access", recursive=True)


def test_a_dataset_is_the_sequence_of_its_samples(place):
    data = shards.open(place[0])
    everything = list(data.read(*COLUMNS))
    samples = data.select(*COLUMNS)
    assert len(samples) == len(data) == 24
    assert [samples[i] for i in range(24)] == everything
    assert samples[-1] == everything[-1]
    assert list(samples) == everything
    assert [samples[key] for key, *_ in everything] == everything
    assert len(data[0]) == 2 + len(data.columns)
    assert data[0][:2] == everything[0][:2]
    assert next(iter(data)) == data[0]


@pytest.mark.parametrize(
    "part", [slice(3, 17), slice(None, None, -1), slice(1, None, 7), slice(-4, None), slice(9, 3), slice(0, 99)]
)
def test_a_slice_is_a_sequence_again(dataset, part):
    samples = shards.open(dataset).select(*COLUMNS)
    expected = list(samples)[part]
    view = samples[part]
    assert len(view) == len(expected)
    assert list(view) == expected
    assert [view[i] for i in range(len(view))] == expected
    assert list(view[1:3]) == expected[1:3]
    for key, *_ in expected:
        assert key in view
    assert len([key for key, *_ in samples if key in view]) == len(expected)


def test_no_rows_are_no_bitstreams(place):
    data = Dataset(place[0])
    reader = ColumnReader(data, "jpeg-10", Files(data.storage))
    assert reader.pick(0, []) == reader.read(0, 2, 2) == []


def test_positions_and_keys_that_are_not_there(dataset):
    samples = shards.open(dataset).select("jpeg-10")
    with pytest.raises(IndexError):
        samples[24]
    with pytest.raises(DatasetError, match="has no key 'nobody'"):
        samples["nobody"]
    assert "nobody" not in samples
    with pytest.raises(DatasetError, match=r"has no key .* among these samples"):
        samples[:5][samples[7][0]]


def test_it_goes_into_a_dataloader_and_into_other_processes(dataset):
    samples = shards.open(dataset).select("jpeg-10")
    samples[3]  # opens a file, which stays here
    assert list(pickle.loads(pickle.dumps(samples))) == list(samples)
    loader = DataLoader(samples, batch_size=5, num_workers=2, collate_fn=list)
    assert [sample for batch in loader for sample in batch] == list(samples)


def test_columns_have_to_be_there_and_complete(copy):
    with pytest.raises(DatasetError, match="has no column 'jpg-10'"):
        shards.open(copy).select("jpg-10")
    with pytest.raises(DatasetError, match="name at least one column"):
        shards.open(copy).select()
    (copy / "jpeg-10" / "000002.tar").unlink()
    with pytest.raises(DatasetError, match="lacks 1 of 5 shards"):
        shards.open(copy).select("jpeg-10")


def test_a_missing_and_a_truncated_tar_are_said_the_same_way_wherever_they_are(place, dataset):
    url, change = place
    tar = (dataset / "jpeg-10" / "000003.tar").read_bytes()
    samples = shards.open(url).select("jpeg-10")
    assert samples[0]
    change("jpeg-10/000003.tar", tar[:1000])
    samples = shards.open(url).select("jpeg-10")
    with pytest.raises(DatasetError) as truncated:
        samples[15]
    assert str(truncated.value) == (
        f"{url}/jpeg-10/000003.tar has 1000 bytes, but its Parquet file says {len(tar)}: truncated or replaced; "
        "delete it and run distort again"
    )
    change("jpeg-10/000003.tar", None)
    data = shards.open(url)
    with pytest.raises(DatasetError) as missing:
        list(data.read("jpeg-10", shards=[3]))
    assert str(missing.value) == f"{url}/jpeg-10/000003.tar is missing; run distort again"


def test_rows_that_point_outside_of_the_tar_are_refused(copy):
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = copy / "jpeg-10" / "000000.parquet"
    table = pq.read_table(file)
    at = table.schema.get_field_index("offset")
    far = pa.array([2**40] * len(table), pa.int64())
    pq.write_table(table.set_column(at, table.schema.field(at), far), file)
    with pytest.raises(DatasetError, match=r"000000\.parquet places bitstreams outside its tar"):
        shards.open(copy).select("jpeg-10")[0]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("chelsea_0.jpg", "did you mean 'chelsea_0'?"),
        ("animals/chelsea_0.jpg", "did you mean 'chelsea_0'?"),
        ("Chelsea_0", "did you mean 'chelsea_0'?"),
        ("chelsea", "did you mean 'chelsea_"),
        ("", "keys look like '"),
        ("7", "keys look like '"),
    ],
)
def test_an_unknown_key_is_answered_with_a_similar_one(dataset, typed, answer):
    data = shards.open(dataset)
    for look in (data.find, data.select("clean").__getitem__):
        with pytest.raises(DatasetError, match=re.escape(answer)):
            look(typed)


def test_a_position_beyond_the_end_is_answered_with_how_many_there_are(dataset):
    with pytest.raises(IndexError, match=r"val: there is no sample 1000, there are 24"):
        shards.open(dataset)[1000]


def test_only_distort_run_makes_a_damaged_clean_tar_again(dataset, tmp_path, run):
    copy = shutil.copytree(dataset, tmp_path / "val")
    os.truncate(copy / "clean/000000.tar", 1000)
    with pytest.raises(
        DatasetError, match="delete it and run 'distort run' again, which makes it from the source"
    ):
        shards.open(copy)[0]
    made = run("distort", "add", copy, "--distortions", "webp-30")
    assert "delete it and run 'distort run' again" in made.stderr
    assert made.stderr.endswith("Error: 1 shard failed: remove the cause, then repeat the command\n")
