"""Names from data: a manifest chooses no path outside the source, and keys are names."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import distort
from distort import job
from distort.sources import SourceError
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import manifest_rows


@pytest.mark.parametrize("name", ["../private/p.jpg", "/etc/passwd", "a/../../p.jpg", "s3://bucket/p.jpg"])
def test_a_manifest_that_names_files_elsewhere_is_refused(dataset, tree, tmp_path, name):
    d = tmp_path / "d"
    shutil.copytree(dataset, d)
    forge(d, "source", name)
    with pytest.raises(SourceError, match=f"the manifest names {name}, which is outside {tree}"):
        job.reopen(str(d), str(tree), None)


def test_a_manifest_of_another_plan_is_refused(dataset, tree, tmp_path, run):
    d = tmp_path / "d"
    shutil.copytree(dataset, d)
    forge(d, "source", "../p.jpg")
    (d / "clean" / "000000.parquet").unlink()
    work = ["distort", "run", tree, d, "--distortions", "jpeg-10", "--shard-size", 5]
    assert "the manifest names ../p.jpg" in run(*work, "--planned").stderr
    assert "manifest.parquet does not belong to its dataset.json" in run(*work).stderr
    assert not (d / "clean" / "000000.parquet").exists()


def test_a_list_may_name_files_elsewhere_because_a_person_wrote_it(tree, tmp_path):
    (tmp_path / "lists").mkdir()
    shutil.copy(tree / "things" / "coffee_0.jpg", tmp_path)
    (tmp_path / "lists" / "list.csv").write_text(f"{tree}/animals/chelsea_0.jpg,1\n../coffee_0.jpg,0\n")
    work = {"distortions": "jpeg-10", "workers": 1}
    assert distort.run(tmp_path / "lists" / "list.csv", tmp_path / "d", **work).pictures == 2
    (tmp_path / "d" / "clean" / "000000.parquet").unlink()
    again = distort.run(tmp_path / "lists" / "list.csv", tmp_path / "d", **work, planned=True)
    assert (again.shards, again.bad) == (1, 0)


def forge(d, column, value):
    table = pq.read_table(d / "manifest.parquet")
    values = [value, *table[column].to_pylist()[1:]]
    table = table.set_column(table.schema.get_field_index(column), table.schema.field(column), pa.array([*values]))
    pq.write_table(table, d / "manifest.parquet", row_group_size=5)


@pytest.mark.parametrize("key", ["../../../evil", "/evil", "a b", "", "x" * 200, "a\nb"])
def test_keys_that_are_no_names_are_refused(dataset, tree, tmp_path, key):
    d = tmp_path / "d"
    shutil.copytree(dataset, d)
    forge(d, "key", key)
    with pytest.raises(DatasetError, match=r"manifest.parquet has the key .*letters, digits, _ and -"):
        manifest_rows(Dataset(d).storage, Dataset(d).plan, 0)
    column = d / "jpeg-10" / "000000.parquet"
    table = pq.read_table(column)
    keys = pa.array([key, *table["key"].to_pylist()[1:]])
    pq.write_table(table.set_column(0, table.schema.field("key"), keys), column)
    with pytest.raises(DatasetError, match=r"jpeg-10/000000.parquet has the key"):
        Dataset(d).parquet("jpeg-10", 0)
