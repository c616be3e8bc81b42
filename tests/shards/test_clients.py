"""Other programs read a column without hand-work: timm and Hugging Face's datasets, the real packages."""

import shutil
import subprocess
import sys

import pytest

import shards

pytestmark = pytest.mark.slow


def test_timm_reads_every_sample_of_a_column(dataset):
    data = pytest.importorskip("timm.data")
    found = data.create_dataset("wds/val", root=str(dataset / "jpeg-10"), split="all")
    samples = [(image.size, label) for image, label in found]
    expected = [label for _, label, _ in shards.open(dataset).read("jpeg-10")]
    assert [size for size, _ in samples] == [(224, 224)] * len(expected)
    assert sorted(label for _, label in samples) == sorted(expected)
    assert len(found) == len(expected)


@pytest.mark.parametrize(("column", "extension"), [("jpeg-10", "jpg"), ("clean", "webp")])
def test_datasets_reads_pictures_labels_and_measurements(dataset, tmp_path, column, extension):
    pytest.importorskip("datasets")
    code = (
        "import datasets, sys; tars, extension, cache = sys.argv[1:]\n"
        "found = datasets.load_dataset('webdataset', data_files=tars, split='train', cache_dir=cache)\n"
        "for row in found: print(row['__key__'], row['cls'], *row[extension].size, row['json']['ssim'])\n"
    )
    arguments = [str(dataset / column / "*.tar"), extension, str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = [line.split() for line in done.stdout.splitlines()]
    assert read == [
        [key, str(label), "224", "224", str(entry.ssim)] for key, label, entry in shards.open(dataset).read(column)
    ]


def test_the_index_is_of_finished_columns_and_follows_what_is_made_later(dataset, tmp_path, run, read_index):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    assert read_index(copy, "jpeg-10")["num_samples"] == 24
    (copy / "jpeg-10" / "000002.parquet").unlink()
    (copy / "jpeg-10" / "_info.json").unlink()
    assert run("shards", "verify", copy).returncode == 1
    assert run("distort", "add", copy, "--distortions", "jpeg-10").returncode == 0
    assert read_index(copy, "jpeg-10") == read_index(dataset, "jpeg-10")
    done = run("shards", "verify", copy)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def read_index():
    import json

    return lambda root, column: json.loads((root / column / "_info.json").read_text())["splits"]["all"]
