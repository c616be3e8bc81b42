"""A dataset reads back as keyed tuples, opens in plain webdataset and DuckDB, and says what is damaged."""

import hashlib
import io
import json
import re
import shutil
import tarfile
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset

import distort
import shards
from distort.codecs import decode
from shards import DatasetError, absent
from shards.plan import manifest_rows
from shards.storage import Storage

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def copy(dataset, tmp_path):
    """A dataset to be damaged."""
    return Path(shutil.copytree(dataset, tmp_path / "val"))


def test_read_yields_keyed_tuples_in_the_same_order_for_any_columns(dataset):
    data = shards.open(dataset)
    both = list(data.read("clean", "jpeg-10"))
    assert len(both) == 24
    assert [(key, label) for key, label, *_ in both] == [(key, label) for key, label, _ in data.read("webp-20")]
    key, label, clean, jpeg = both[0]
    assert isinstance(key, str)
    assert label in (0, 1)
    assert clean.psnr == float("inf")
    assert clean.ssim == 1
    assert clean.bytes is None
    assert decode(clean.data, clean.extension).shape == decode(jpeg.data, jpeg.extension).shape == (224, 224, 3)


def test_a_shard_can_be_read_alone(dataset):
    data = shards.open(dataset)
    parts = [list(data.read("jpeg-10", shards=[i])) for i in range(data.plan.shards)]
    assert [len(part) for part in parts] == [5, 5, 5, 5, 4]
    assert [sample for part in parts for sample in part] == list(data.read("jpeg-10"))


def test_every_column_opens_in_plain_webdataset(dataset):
    data = shards.open(dataset)
    for name in data.columns:
        folder = dataset / name
        extension = data.columns[name]["extension"]
        plain = webdataset.WebDataset(str(folder / "{000000..000004}.tar"), shardshuffle=False)
        samples = list(plain)
        ours = list(data.read(name))
        assert [sample["__key__"] for sample in samples] == [key for key, _, _ in ours]
        for sample, (_, label, entry) in zip(samples, ours, strict=True):
            assert sample[extension] == entry.data
            assert int(sample["cls"]) == label
            assert json.loads(sample["json"])["bytes"] == entry.bytes


def test_webdataset_decodes_common_formats_by_itself(dataset):
    plain = webdataset.WebDataset(str(dataset / "jpeg-10" / "000000.tar"), shardshuffle=False).decode("rgb8")
    ours = shards.open(dataset).read("jpeg-10", shards=[0])
    for sample, (_, _, entry) in zip(plain, ours, strict=True):
        assert np.array_equal(sample["jpg"], decode(entry.data, "jpg"))


def test_stats_are_the_means_of_the_parquet_rows(dataset):
    data = shards.open(dataset)
    stats = {row["distortion"]: row for row in data.stats().to_pylist()}
    entries = [entry for _, _, entry in data.read("jpeg-10")]
    assert stats["jpeg-10"]["samples"] == 24
    assert stats["jpeg-10"]["bytes_mean"] == pytest.approx(np.mean([e.bytes for e in entries]))
    assert stats["jpeg-10"]["psnr_std"] == pytest.approx(np.std([e.psnr for e in entries]))
    assert stats["clean"]["identical"] == 24
    assert stats["clean"]["psnr_mean"] is None
    assert stats["noise-20"]["bytes_mean"] is None
    assert list(stats) == ["clean", "j2k-75", "jpeg-10", "noise-20", "noise-20+jpeg-10", "webp-20"]


def test_the_duckdb_queries_of_the_docs_run(dataset, tmp_path):
    measured = Path(shutil.copytree(dataset, tmp_path / "val"))
    distort.measure(measured, metrics="ms-ssim", columns="jpeg-10", workers=1)
    queries = re.findall(r"```sql\n(.*?)```", (DOCS / "format.md").read_text(), re.DOTALL)
    values, rows = (duckdb.sql(query.replace("val/", f"{measured}/")).fetchall() for query in queries)
    (name, mean) = values[0]
    assert name == "jpeg-10"
    assert mean == pytest.approx(np.mean(shards.open(measured).table("jpeg-10", ["ms-ssim"])["ms-ssim"]))
    stats = {row["distortion"]: row for row in shards.open(dataset).stats().to_pylist()}
    assert {row[0] for row in rows} == stats.keys()
    for name, samples, size, psnr, ssim in rows:
        assert samples == 24
        assert size == pytest.approx(stats[name]["bytes_mean"], abs=0.0501) or stats[name]["bytes_mean"] is None
        assert psnr == pytest.approx(stats[name]["psnr_mean"], abs=0.005) or stats[name]["psnr_mean"] is None
        assert ssim == pytest.approx(stats[name]["ssim_mean"], abs=0.0005)


def test_the_reader_in_the_docs_needs_nothing_of_ours(dataset):
    """docs/format.md promises that a reader in another language needs only tar, Parquet and JSON."""
    code = re.search(r"```python\n# a reader from scratch\n(.*?)```", (DOCS / "format.md").read_text(), re.DOTALL)
    scope = {"root": str(dataset), "column": "jpeg-10"}
    exec(code.group(1), scope)  # our own documentation
    assert scope["samples"] == {key: entry.data for key, _, entry in shards.open(dataset).read("jpeg-10")}


def test_parquet_columns_are_those_that_are_documented(dataset):
    documented = re.findall(r"^\| `(\w+)` \|", (DOCS / "format.md").read_text(), re.MULTILINE)
    names = pq.read_schema(dataset / "jpeg-10" / "000000.parquet").names
    assert set(names) <= set(documented)
    assert {"source", "reason"} <= set(documented)


def test_find_gives_the_shard_and_the_row_of_every_column(dataset):
    data = shards.open(dataset)
    key = data.parquet("clean", 3)[0]["key"][2].as_py()
    shard, rows = data.find(key)
    assert shard == 3
    assert rows.keys() == data.columns.keys()
    assert all(row["key"] == key for row in rows.values())
    with pytest.raises(DatasetError, match="has no key 'nobody'"):
        data.find("nobody")


def test_the_hashes_of_the_plan_are_as_documented(dataset):
    contents = json.loads((dataset / "dataset.json").read_text())
    plan = contents.pop("plan")
    text = json.dumps(contents, sort_keys=True, ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == plan
    rows = pq.read_table(dataset / "manifest.parquet").to_pylist()
    lines = "".join(
        json.dumps([row[name] for name in ("key", "source", "label", "offset", "size")]) + "\n" for row in rows
    )
    assert hashlib.sha256(lines.encode()).hexdigest() == contents["manifest"]


def test_shards_are_byte_for_byte_what_tarfile_writes(dataset):
    for path in dataset.glob("*/000000.tar"):
        again = io.BytesIO()
        with (
            tarfile.open(path) as tar,
            tarfile.open(fileobj=again, mode="w", format=tarfile.USTAR_FORMAT) as copied,
        ):
            for member in tar:
                plain = tarfile.TarInfo(member.name)
                plain.size = member.size
                copied.addfile(plain, tar.extractfile(member))
        assert again.getvalue() == path.read_bytes()


def test_shards_are_deterministic_tars(dataset):
    for path in dataset.glob("*/000000.tar"):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
                assert member.pax_headers == {}
                assert member.name.count(".") == 1


def read_all(root):
    return list(shards.open(root).read("clean", "jpeg-10"))


def truncate(path, size):
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "dataset.json").unlink(), "no dataset at .*: its dataset.json is missing; restore it"),
        (lambda d: (d / "dataset.json").write_text("{"), "dataset.json is damaged: .*; restore it from a copy"),
        (lambda d: (d / "dataset.json").write_text('{"schema": 99}'), "does not have schema 1"),
        (lambda d: edit(d / "dataset.json", '"seed": 0', '"seed": 1'), "was changed: it does not match"),
        (lambda d: (d / "jpeg-10" / "column.json").write_text("[]"), "column.json is damaged"),
        (lambda d: shutil.rmtree(d / "jpeg-10"), "has no column 'jpeg-10'; it has clean, j2k-75"),
        (lambda d: (d / "jpeg-10" / "000002.tar").unlink(), "lacks 1 of 5 shards, first jpeg-10/000002.tar"),
        (lambda d: (d / "jpeg-10" / "000002.parquet").unlink(), "lacks 1 of 5 shards"),
        (lambda d: truncate(d / "jpeg-10" / "000002.parquet", 500), r"jpeg-10/000002.parquet is damaged"),
        (lambda d: truncate(d / "jpeg-10" / "000002.tar", 1000), r"jpeg-10/000002.tar has 1000 bytes"),
        (lambda d: swap(d / "jpeg-10" / "000002", d / "jpeg-10" / "000003"), "other keys in 'jpeg-10'"),
    ],
)
def test_reading_a_damaged_dataset_says_what_is_wrong(copy, damage, message):
    damage(copy)
    with pytest.raises(DatasetError, match=message):
        read_all(copy)


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("val/clean", "it is inside the dataset val: give that"),
        ("val/cleen", "it is inside the dataset val: give that"),
        ("val/clean/000000.tar", "it is inside the dataset val: give that"),
        ("val/dataset.json", "it is inside the dataset val: give that"),
        ("vall", "did you mean val?"),
        ("a.txt", "it is a file, and a dataset is a folder"),
        ("a.txt/val", "a.txt is a file, not a folder"),
        (".", "but it holds datasets: did you mean ./val?"),
        ("run", "it is a run folder of train; give the dataset that it was trained on"),
        (
            "pictures",
            "it holds cat.jpg but no dataset.json; 'distort run SOURCE DATASET' makes one in a new folder",
        ),
        ("column", "it is a column without its dataset; copy or mount the whole dataset"),
        ("empty", "it has no dataset.json; 'distort run SOURCE empty' makes one"),
        ("new", "it has no dataset.json; 'distort run SOURCE new' makes one"),
    ],
)
def test_where_no_dataset_is_the_answer_says_what_is_there(tmp_path, monkeypatch, given, answer):
    files = ["val/dataset.json", "val/clean/000000.tar", "a.txt", "run/config.json", "run/environment.json"]
    for file in [*files, "pictures/cat.jpg", "column/column.json", "empty/.hidden"]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError) as refused:
        shards.open(given)
    assert str(refused.value) == f"no dataset at {given}: {answer}"


def test_behind_a_url_no_further_request_looks_for_a_dataset(monkeypatch):
    storage = Storage("memory://nosuch/val")
    monkeypatch.setattr(storage.fs, "ls", None)
    assert absent.why(storage, "dataset.json").endswith("'distort run SOURCE memory://nosuch/val' makes one")


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def swap(a, b):
    for end in (".tar", ".parquet"):
        a.with_suffix(end).rename(a.with_suffix(".tmp"))
        b.with_suffix(end).rename(a.with_suffix(end))
        a.with_suffix(".tmp").rename(b.with_suffix(end))


def test_a_shard_of_another_plan_is_refused(copy, tree, tmp_path, run):
    other = tmp_path / "other"
    assert (
        run("distort", "run", tree, other, "--distortions", "jpeg-10", "--seed", 1, "--shard-size", 5).returncode
        == 0
    )
    for end in ("tar", "parquet"):
        shutil.copy(other / "jpeg-10" / f"000001.{end}", copy / "jpeg-10")
    with pytest.raises(DatasetError, match="belongs to another plan"):
        read_all(copy)


def test_shell_urls_are_never_opened():
    with pytest.raises(DatasetError, match="shell commands are not supported"):
        shards.open("pipe:cat val")


def test_the_footer_of_the_manifest_is_read_once_by_a_worker(dataset, monkeypatch):
    data = shards.open(dataset)
    places = []

    class Watched(io.FileIO):
        def read(self, size=-1):
            data = super().read(size)
            places.append(self.tell())
            return data

    @contextmanager
    def watch(name):
        with Watched(dataset / name) as file:
            yield file

    monkeypatch.setattr(data.storage, "open", watch)
    first = manifest_rows(data.storage, data.plan, 0)
    assert max(places) == (dataset / "manifest.parquet").stat().st_size
    places.clear()
    second = manifest_rows(data.storage, data.plan, 1)
    assert [row["source"] for row in first] != [row["source"] for row in second]
    assert max(places) < (dataset / "manifest.parquet").stat().st_size * 3 / 4
