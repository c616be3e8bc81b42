"""Files of a dataset that were copied to the wrong place, edited or crafted: named, and nothing else happens."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shards
from shards import DatasetError
from shards.verify import verify


@pytest.fixture
def copy(dataset, tmp_path):
    return Path(shutil.copytree(dataset, tmp_path / "val"))


def read(root: Path) -> list:
    return list(shards.open(root).read("noise-20"))


def problems(root: Path) -> str:
    return "\n".join(verify(shards.open(root)))


def edit(path: Path, **fields) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def like_older_versions(root: Path) -> None:
    """Commit marks that say neither column nor settings."""
    for path in root.glob("*/0*.parquet"):
        table = pq.read_table(path)
        marks = {
            k: v for k, v in (table.schema.metadata or {}).items() if k not in (b"column", b"settings_sha256")
        }
        pq.write_table(table.replace_schema_metadata(marks), path)


@pytest.mark.parametrize("older", [False, True])
def test_a_shard_of_another_column_is_noticed(copy, older):
    """clean and noise-20 have the same extension and the same keys."""
    if older:
        like_older_versions(copy)
        assert len(read(copy)) == 24
        assert problems(copy) == ""
    for end in ("tar", "parquet"):
        shutil.copy(copy / "clean" / f"000001.{end}", copy / "noise-20")
    with pytest.raises(DatasetError, match=r"noise-20/000001.parquet was made for column 'clean'"):
        read(copy)
    assert "noise-20/000001.parquet was made for column 'clean'" in problems(copy)


def test_a_column_of_another_name_is_noticed(copy):
    shutil.rmtree(copy / "noise-20")
    shutil.copytree(copy / "clean", copy / "noise-20")
    with pytest.raises(DatasetError, match="it describes column 'clean', but is in folder 'noise-20'"):
        read(copy)
    edit(copy / "noise-20" / "column.json", column="noise-20")
    with pytest.raises(DatasetError, match="was made for column 'clean'"):
        read(copy)


def test_changed_settings_are_noticed(copy):
    path = copy / "noise-20" / "column.json"
    path.write_text(path.read_text().replace('"sigma": 20', '"sigma": 21'))
    assert "noise-20/000000.parquet was made with other settings than noise-20/column.json says" in problems(copy)


def test_rows_of_another_distortion_or_label_are_noticed(copy):
    path = copy / "noise-20" / "000000.parquet"
    table = pq.read_table(path)
    for name, value in (("distortion", "noise-21"), ("label", 7)):
        column = pa.array([value] * len(table), table.schema.field(name).type)
        pq.write_table(
            table.set_column(table.schema.get_field_index(name), table.schema.field(name), column), path
        )
        assert {"distortion": "rows of distortion noise-21", "label": "its labels or sources differ"}[name] in (
            problems(copy)
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../secret", "/etc", "a\nb", "<!--", "", 7, None, ["x"]])
def test_a_crafted_column_name_reaches_nothing(copy, name, run):
    (copy.parent / "secret").mkdir()
    edit(copy / "noise-20" / "column.json", column=name)
    for command in ("info", "verify"):
        made = run("shards", command, copy)
        assert made.returncode == 1
        assert "noise-20/column.json is damaged" in made.stderr
        assert "Traceback" not in made.stderr


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" * 100_000, "{}", '{"schema": 1}', "7", "\xff"])
@pytest.mark.parametrize("file", ["dataset.json", "clean/column.json"])
def test_damaged_json_is_named(copy, file, text, run):
    (copy / file).write_bytes(text.encode("latin-1"))
    made = run("shards", "info", copy)
    assert made.returncode == 1
    assert file in made.stderr
    assert "Traceback" not in made.stderr


def plan_of(copy: Path, **changes) -> None:
    """Write a ``dataset.json`` whose hash fits."""
    plan = replace(shards.open(copy).plan, **changes)
    contents = json.loads((copy / "dataset.json").read_text()) | changes
    contents |= {"plan": plan.hash, "shards": plan.shards}
    (copy / "dataset.json").write_text(json.dumps(contents))


@pytest.mark.parametrize("field", [{"pictures": 0}, {"per_shard": -5}, {"crops": True}, {"pictures": 2.5}])
def test_a_plan_of_nonsense_is_refused(copy, field):
    plan_of(copy, **field)
    with pytest.raises(DatasetError, match=rf"dataset.json is damaged: {next(iter(field))} is"):
        shards.open(copy)


def test_another_number_of_shards_than_the_plan_s_is_refused(copy):
    edit(copy / "dataset.json", shards=4)
    with pytest.raises(DatasetError, match="was changed: it does not match its plan hash"):
        shards.open(copy)


@pytest.mark.slow
def test_a_crafted_plan_of_a_billion_pictures_costs_no_time(copy, tree, run):
    plan_of(copy, pictures=10**9, per_shard=1)
    assert "done 5, running 0, missing 999999995" in run("distort", "status", copy).stdout
    found = run("shards", "verify", copy)
    assert "manifest.parquet: 24 rows, but dataset.json says 1000000000 pictures" in found.stdout
    assert "and 999999994 more shards of this column" in found.stdout
    added = run("distort", "add", copy, "--distortions", "jpeg-11")
    assert "column 'clean' lacks 999999995 of 1000000000 shards" in added.stderr
    planned = run("distort", "run", tree, copy, "--distortions", "jpeg-10", "--planned")
    assert "manifest.parquet has 24 rows, but dataset.json says 1000000000 pictures" in planned.stderr


def test_one_unreadable_file_does_not_end_verify(copy, run):
    (copy / "jpeg-10" / "000000.tar").unlink()
    (copy / "jpeg-10" / "000000.tar").mkdir()
    os.truncate(copy / "webp-20" / "000003.tar", 2000)
    found = run("shards", "verify", copy)
    assert "jpeg-10/000000.tar cannot be read: Is a directory" in found.stdout
    assert "webp-20/000003.tar: 2000 bytes" in found.stdout
    assert "2 problems" in found.stderr


def test_a_file_we_may_not_read_is_not_called_damaged(copy):
    command = [sys.executable, "-m", "shards", "verify", copy]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may read everything")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    (copy / "jpeg-10" / "000002.parquet").chmod(0)
    found = subprocess.run(command, capture_output=True, text=True)
    assert "jpeg-10/000002.parquet cannot be read: Permission denied" in found.stdout
    assert "damaged" not in found.stdout
    assert found.returncode == 1


def test_a_crafted_key_is_in_no_tar(copy, tmp_path, run):
    path = copy / "clean" / "000000.parquet"
    table = pq.read_table(path)
    keys = pa.array(["../../../evil", *table["key"].to_pylist()[1:]], table.schema.field("key").type)
    pq.write_table(table.set_column(0, table.schema.field("key"), keys), path)
    made = run("shards", "export", copy, tmp_path / "fat", "--columns", "clean")
    assert made.returncode == 1
    assert "clean/000000.parquet has the key '../../../evil'" in made.stderr
    assert list((tmp_path / "fat").rglob("*")) == []
    assert "clean/000000.parquet has the key '../../../evil'" in problems(copy)


@pytest.mark.parametrize("out", ["{d}", "{d}/clean", "{d}/new", "{link}/new"])
def test_a_dataset_is_not_exported_into_itself(copy, tmp_path, run, digests, out):
    (tmp_path / "link").symlink_to(copy)
    before = digests(copy)
    made = run("shards", "export", copy, out.format(d=copy, link=tmp_path / "link"), "--columns", "clean,jpeg-10")
    assert made.returncode == 1
    assert "is inside the dataset" in made.stderr
    assert digests(copy) == before


def test_another_dataset_is_not_exported_into(copy, dataset, run):
    made = run("shards", "export", dataset, copy, "--columns", "clean")
    assert "is a dataset; choose a new folder" in made.stderr
