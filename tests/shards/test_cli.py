"""``shards verify`` finds every kind of damage; info, show and export do what they say."""

import json
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import webdataset

import shards

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(dataset, tmp_path):
    return Path(shutil.copytree(dataset, tmp_path / "val"))


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def header_boundary(path: Path) -> int:
    """Where the third sample's first header starts: a cut there leaves a tar that looks complete."""
    with tarfile.open(path) as tar:
        return tar.getmembers()[6].offset


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)


def rehash(root: Path, name: str) -> None:
    """Make a damaged tar's mark fit again, as a wrong writer would have."""
    import hashlib

    tar = (root / f"{name}.tar").read_bytes()
    table = pq.read_table(root / f"{name}.parquet")
    mark = {b"tar_size": str(len(tar)), b"tar_sha256": hashlib.sha256(tar).hexdigest()}
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **mark}), root / f"{name}.parquet")


def drop_row(path: Path) -> None:
    table = pq.read_table(path)
    metadata = {**table.schema.metadata, b"samples": b"4"}
    pq.write_table(table.slice(1).replace_schema_metadata(metadata), path)


def spoil_bitstream(root: Path) -> None:
    path = root / "jpeg-10" / "000001.tar"
    row = pq.read_table(path.with_suffix(".parquet")).to_pylist()[0]
    data = bytearray(path.read_bytes())
    data[row["offset"] : row["offset"] + 20] = bytes(20)
    path.write_bytes(data)
    rehash(root, "jpeg-10/000001")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda d: truncate(d / "jpeg-10/000001.tar", 2000),
            "jpeg-10/000001.tar: 2000 bytes, but the commit mark says",
        ),
        (
            lambda d: truncate(d / "jpeg-10/000001.tar", header_boundary(d / "jpeg-10/000001.tar")),
            "jpeg-10/000001.tar: ",
        ),
        (lambda d: flip(d / "jpeg-10/000001.tar"), "jpeg-10/000001.tar: its sha256 differs from its commit mark"),
        (
            lambda d: (d / "jpeg-10/000001.tar").unlink(),
            "jpeg-10/000001.tar is missing, but its Parquet file exists",
        ),
        (
            lambda d: (d / "jpeg-10/000001.parquet").unlink(),
            "000001.parquet is missing, so its tar is not committed: run distort again",
        ),
        (
            lambda d: [(d / f"jpeg-10/000001.{end}").unlink() for end in ("tar", "parquet")],
            "jpeg-10/000001.parquet and its tar are missing",
        ),
        (lambda d: truncate(d / "jpeg-10/000001.parquet", 100), "jpeg-10/000001.parquet is damaged"),
        (
            lambda d: drop_row(d / "jpeg-10/000001.parquet"),
            "jpeg-10/000001.parquet: its 4 keys differ from the 5 of clean",
        ),
        (lambda d: drop_row(d / "clean/000001.parquet"), "5 pictures planned, 4 stored, 0 in errors"),
        (lambda d: (d / "manifest.parquet").unlink(), "manifest.parquet cannot be read"),
        (lambda d: (d / "jpeg-10/000009.tar").touch(), "jpeg-10/000009.tar: not a file of this plan"),
        (lambda d: (d / "stray").mkdir(), "stray: a folder without column.json"),
        (lambda d: (d / ".partial").mkdir(), ".partial: holds unfinished files"),
        (lambda d: shutil.rmtree(d / "clean"), "clean/column.json is missing"),
        (spoil_bitstream, "not a readable .jpg bitstream"),
    ],
)
def test_verify_finds_and_names_the_damage(copy, run, damage, message):
    damage(copy)
    found = run("shards", "verify", copy, "--decode")
    assert found.returncode == 1
    assert message in found.stdout
    assert "Traceback" not in found.stderr


def test_verify_passes_a_sound_dataset(dataset, run):
    found = run("shards", "verify", dataset, "--decode")
    assert found.returncode == 0, found.stdout
    assert "6 columns of 5 shards, hashes, counts, keys and bitstreams are correct" in found.stdout


def test_a_damaged_shard_is_made_again_once_its_parquet_is_gone(copy, tree, dataset, run, digests):
    flip(copy / "jpeg-10/000001.tar")
    (copy / "jpeg-10/000001.parquet").unlink()
    made = run("distort", "run", tree, copy, "--distortions", "jpeg-10", "--shard-size", 5)
    assert made.returncode == 0, made.stderr
    assert digests(copy) == digests(dataset)


def test_info_prints_columns_counts_means_and_versions(dataset, run):
    info = run("shards", "info", dataset).stdout
    row = next(row for row in shards.open(dataset).stats().to_pylist() if row["distortion"] == "jpeg-10")
    line = next(line for line in info.splitlines() if line.startswith("jpeg-10"))
    assert line.split()[1:3] == ["5/5", "24"]
    assert f"{row['bytes_mean']:,.1f}" in line
    assert f"{row['psnr_mean']:.2f}" in line
    assert "∞" in next(line for line in info.splitlines() if line.startswith("clean"))
    assert "pillow" in info


def test_show_prints_the_tuple_of_a_key(dataset, run):
    key, _, jpeg = next(shards.open(dataset).read("jpeg-10"))
    shown = json.loads(run("shards", "show", dataset, key).stdout)
    assert shown["jpeg-10"]["bytes"] == jpeg.bytes
    assert shown["jpeg-10"]["tar"] == "000000.tar"
    assert shown["clean"]["psnr"] is None
    missing = run("shards", "show", dataset, "nobody")
    assert missing.returncode == 1
    assert "has no key 'nobody'" in missing.stderr


def test_export_writes_fat_samples_for_one_stream(dataset, tmp_path, run):
    out = tmp_path / "fat"
    made = run("shards", "export", dataset, out, "--columns", "clean,jpeg-10")
    assert made.returncode == 0, made.stderr
    samples = list(webdataset.WebDataset(str(out / "{000000..000004}.tar"), shardshuffle=False))
    ours = list(shards.open(dataset).read("clean", "jpeg-10"))
    for sample, (key, label, clean, jpeg) in zip(samples, ours, strict=True):
        assert sample["__key__"] == key
        assert sample["clean.webp"] == clean.data
        assert sample["jpeg-10.jpg"] == jpeg.data
        assert int(sample["cls"]) == label
        assert json.loads(sample["json"])["jpeg-10"]["psnr"] == jpeg.psnr
        assert json.loads(sample["json"])["clean"]["psnr"] is None
    again = run("shards", "export", dataset, out, "--columns", "clean")
    assert again.returncode == 1
    assert "choose a new folder" in again.stderr


def test_export_of_a_missing_column_says_what_there_is(dataset, tmp_path, run):
    made = run("shards", "export", dataset, tmp_path / "fat", "--columns", "clean,jpeg-11")
    assert made.returncode == 1
    assert "has no column 'jpeg-11'; it has clean, j2k-75, jpeg-10" in made.stderr


@pytest.mark.parametrize("command", ["info", "verify", "show", "export"])
def test_help_shows_an_example(run, command):
    assert f"Example: shards {command}" in run("shards", command, "--help").stdout


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("", "it is empty: is a shell variable unset?"),
        ("file", "file is a file, not a"),
        ("file/x", "file is a file"),
    ],
)
def test_export_to_no_folder_says_so(dataset, tmp_path, run, monkeypatch, out, message):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    made = run("shards", "export", dataset, out, "--columns", "clean")
    assert made.returncode in (1, 2)
    assert message in made.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
