"""``distort run`` from the outside: what it makes and what it refuses."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shards
from distort.codecs import decode
from distort.crops import parse as parse_crop
from distort.metrics import Reference
from distort.pictures import load


def test_every_sample_is_the_distorted_crop_of_its_source(dataset, tree):
    data = shards.open(dataset)
    sources = {row["key"]: row["source"] for row in data.table("clean").to_pylist()}
    count = 0
    for key, label, clean, jpeg, noise in data.read("clean", "jpeg-10", "noise-20"):
        image = load((tree / sources[key]).read_bytes())
        ((_, crop),) = parse_crop("paper").apply(image, 0, key)
        assert np.array_equal(decode(clean.data, clean.extension), crop)
        assert label == ["animals", "things"].index(sources[key].partition("/")[0])
        distorted = decode(jpeg.data, jpeg.extension)
        assert jpeg.bytes == len(jpeg.data)
        assert jpeg.bpp == pytest.approx(8 * jpeg.bytes / 224**2)
        assert jpeg.psnr == pytest.approx(Reference(crop).psnr(distorted), abs=1e-6)
        assert jpeg.ssim == pytest.approx(Reference(crop).ssim(distorted), abs=1e-6)
        assert noise.bytes is None
        assert 20 < noise.psnr < 25
        count += 1
    assert count == 24


@pytest.mark.slow
def test_one_worker_makes_the_same_files_as_two(dataset, tree, tmp_path, run, digests):
    columns = ",".join(name for name in shards.open(dataset).columns)
    made = run("distort", "run", tree, tmp_path / "d", "--distortions", columns, "--shard-size", 5, "--workers", 1)
    assert made.returncode == 0, made.stderr
    assert digests(tmp_path / "d") == digests(dataset)


@pytest.mark.slow
def test_parts_on_several_machines_make_the_same_files(dataset, tree, tmp_path, run, digests):
    columns = ",".join(name for name in shards.open(dataset).columns)
    for part in ("2/3", "1/3", "3/3"):
        made = run(
            "distort", "run", tree, tmp_path / "d", "--distortions", columns, "--shard-size", 5, "--part", part
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
    assert digests(tmp_path / "d") == digests(dataset)


@pytest.mark.slow
def test_add_makes_the_same_columns_as_run(dataset, tree, tmp_path, run, digests):
    d = tmp_path / "d"
    assert run("distort", "run", tree, d, "--distortions", "jpeg-10", "--shard-size", 5).returncode == 0
    before = digests(d)
    added = run("distort", "add", d, "--distortions", "j2k-75,webp-20,noise-20,noise-20+jpeg-10")
    assert added.returncode == 0, added.stderr
    assert digests(d) == digests(dataset)
    assert before.items() <= digests(d).items()


def test_running_again_makes_nothing(dataset, tree, run, digests):
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    again = run("distort", "run", tree, dataset, "--distortions", "jpeg-10,webp-20", "--shard-size", 5)
    assert "0 shards made, 5 existed" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*") if path.name != ".partial"} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (["--crop", "center:100"], 'crop: "paper" in the dataset, "center:100" now'),
        (["--seed", "7"], "seed: 0 in the dataset, 7 now"),
        (["--shard-size", "6"], "per_shard: 5 in the dataset, 6 now"),
        (["--limit", "10"], "pictures: 24 in the dataset, 10 now"),
        (["--ssim", "gaussian"], 'ssim: "uniform" in the dataset, "gaussian" now'),
    ],
)
def test_a_changed_plan_is_refused_with_the_difference(dataset, tree, run, digests, change, difference):
    before = digests(dataset)
    made = run("distort", "run", tree, dataset, "--distortions", "jpeg-10", "--shard-size", 5, *change)
    assert made.returncode == 1
    assert difference in made.stderr
    assert digests(dataset) == before


def test_a_changed_source_is_refused(dataset, tree, tmp_path, run):
    shutil.copytree(tree, tmp_path / "tree")
    (tmp_path / "tree" / "animals" / "chelsea_0.jpg").unlink()
    made = run("distort", "run", tmp_path / "tree", dataset, "--distortions", "jpeg-10", "--shard-size", 5)
    assert made.returncode == 1
    assert "pictures: 24 in the dataset, 23 now" in made.stderr


def test_a_column_made_by_another_version_is_refused(dataset, tree, tmp_path, run):
    shutil.copytree(dataset, tmp_path / "d")
    column = tmp_path / "d" / "jpeg-10" / "column.json"
    text = column.read_text()
    column.write_text(text.replace('"pillow": "', '"pillow": "0.'))
    (tmp_path / "d" / "jpeg-10" / "000002.parquet").unlink()
    made = run("distort", "run", tree, tmp_path / "d", "--distortions", "jpeg-10", "--shard-size", 5)
    assert made.returncode == 1
    assert "new shards of column 'jpeg-10' would differ" in made.stderr
    assert 'pillow: "0.' in made.stderr


@pytest.mark.slow
def test_columns_that_are_only_read_may_be_of_another_version(dataset, tmp_path, run):
    d = tmp_path / "d"
    shutil.copytree(dataset, d)
    for name in ("clean", "jpeg-10"):
        column = d / name / "column.json"
        column.write_text(column.read_text().replace('"pillow": "', '"pillow": "0.'))
    added = run("distort", "add", d, "--distortions", "jpeg-10,jpeg-20")
    assert added.returncode == 0, added.stderr
    assert run("shards", "verify", d, "--decode").returncode == 0


@pytest.mark.slow
def test_another_version_makes_shards_only_when_told_to(dataset, tree, tmp_path, run):
    from distort.engines import UnfitNode
    from distort.shard import ShardJob, run_shard

    d = tmp_path / "d"
    shutil.copytree(dataset, d)
    (d / "jpeg-10" / "000002.parquet").unlink()
    column = d / "jpeg-10" / "column.json"
    column.write_text(column.read_text().replace('"pillow": "', '"pillow": "0.'))
    with pytest.raises(UnfitNode, match="would make other bytes than column 'jpeg-10'"):
        run_shard(ShardJob(str(d), ("jpeg-10",), str(tree)), 2, lambda done, bad: None)
    assert not (d / "jpeg-10" / "000002.parquet").exists()
    work = ["distort", "run", tree, d, "--distortions", "jpeg-10", "--shard-size", 5, "--any-version"]
    assert "1 shard made, 4 existed" in run(*work).stdout
    column.write_text(column.read_text().replace('"quality": 10', '"quality": 11'))
    (d / "jpeg-10" / "000002.parquet").unlink()
    assert "quality: 11 in the dataset, 10 now" in run(*work).stderr


@pytest.mark.slow
def test_a_planned_dataset_does_not_list_its_source_again(dataset, tree, tmp_path, run, digests):
    d = tmp_path / "d"
    shutil.copytree(dataset, d)
    shutil.copytree(tree, tmp_path / "tree")
    (tmp_path / "tree" / "animals" / "new.jpg").write_bytes(b"not in the plan")
    for column in ("clean", "jpeg-10"):
        (d / column / "000003.parquet").unlink()
    columns = ",".join(name for name in shards.open(dataset).columns)
    made = run("distort", "run", tmp_path / "tree", d, "--distortions", columns, "--planned")
    assert "1 shard made, 4 existed" in made.stdout, made.stderr
    assert digests(d) == digests(dataset)


def test_a_folder_with_other_things_is_refused(tree, tmp_path, run):
    (tmp_path / "thesis.tex").write_text("precious")
    made = run("distort", "run", tree, tmp_path, "--distortions", "jpeg-10")
    assert made.returncode == 1
    assert "holds thesis.tex but no dataset.json" in made.stderr
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.fixture
def hostile(tree, tmp_path) -> Path:
    """Ten sound pictures and every kind of bad one."""
    root = tmp_path / "hostile"
    shutil.copytree(tree / "animals", root)
    for i in (4, 5):
        (root / f"astronaut_{i}.jpg").unlink()
    sound = (root / "chelsea_0.jpg").read_bytes()
    (root / "truncated.jpg").write_bytes(sound[: len(sound) // 2])
    (root / "empty.jpg").write_bytes(b"")
    (root / "text.JPEG").write_text("not a picture")
    Image.new("RGB", (10000, 3)).save(root / "sliver.png")
    (root / "vanished.jpg").symlink_to("nowhere.jpg")
    Image.new("RGB", (1, 1)).save(root / "one.png")
    Image.open(root / "chelsea_1.jpg").save(root / "really_a.png.JPEG", "PNG")
    Image.open(root / "chelsea_1.jpg").convert("CMYK").save(root / "cmyk.JPEG", "JPEG")
    Image.open(root / "chelsea_1.jpg").convert("L").save(root / "grey.JPEG", "JPEG")
    Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256)).save(root / "sixteen.png")
    Image.open(root / "chelsea_1.jpg").save(root / "Füße im.Gras.jpg")
    return root


@pytest.mark.slow
def test_bad_pictures_are_recorded_and_the_job_goes_on(hostile, tmp_path, run):
    d = tmp_path / "d"
    made = run("distort", "run", hostile, d, "--distortions", "jpeg-10", "--shard-size", 8)
    assert made.returncode == 1
    assert "5 pictures could not be read" in made.stderr
    assert "23.81% of the pictures could not be read, more than --max-bad 0.10%" in made.stderr
    data = shards.open(d)
    reasons = {row["source"]: row["reason"] for row in data.errors().to_pylist()}
    assert reasons.keys() == {"truncated.jpg", "empty.jpg", "text.JPEG", "sliver.png", "vanished.jpg"}
    assert reasons["vanished.jpg"] == "No such file or directory"
    assert "truncated" in reasons["truncated.jpg"]
    assert sum(1 for _ in data.read("clean", "jpeg-10")) == 16
    assert run("shards", "verify", d, "--decode").returncode == 0
    assert (
        run(
            "distort", "run", hostile, d, "--distortions", "jpeg-10", "--shard-size", 8, "--max-bad", 0.3
        ).returncode
        == 0
    )


@pytest.mark.slow
def test_odd_sizes_pass_every_codec_without_a_crop(hostile, tmp_path, run):
    for name in ("truncated.jpg", "empty.jpg", "text.JPEG", "vanished.jpg"):
        (hostile / name).unlink()
    names = "jpeg-10,j2k-75,webp-20,avif-30,jxl-40,noise-20,blur-1"
    made = run("distort", "run", hostile, tmp_path / "d", "--distortions", names, "--crop", "none")
    assert made.returncode == 0, made.stderr
    assert run("shards", "verify", tmp_path / "d", "--decode").returncode == 0
    rows = {row["source"]: row for row in shards.open(tmp_path / "d").table("jpeg-10").to_pylist()}
    assert rows["one.png"]["ssim"] is None
    assert rows["sliver.png"]["ssim"] is None
    assert (rows["sliver.png"]["width"], rows["sliver.png"]["height"]) == (10000, 3)


@pytest.mark.slow
def test_a_source_that_disappears_stops_the_job_and_loses_nothing(tree, tmp_path, run):
    from distort.shard import ShardJob, run_shard

    source = tmp_path / "tree"
    shutil.copytree(tree, source)
    d = tmp_path / "d"
    assert run("distort", "run", source, d, "--distortions", "jpeg-10", "--shard-size", 5).returncode == 0
    (d / "clean" / "000000.parquet").unlink()
    shutil.rmtree(source)
    with pytest.raises(OSError, match=f"the source {source} is gone"):
        run_shard(ShardJob(str(d), ("jpeg-10",), str(source)), 0, lambda done, bad: None)
    assert not (d / "clean" / "000000.parquet").exists()
    assert not (d / "errors").exists()


@pytest.mark.slow
def test_a_worker_stays_small(tree, tmp_path, run):
    """A node with 2 GB per core has room for it several times: at most 400 MB of resident memory."""
    code = (
        "import re, sys\n"
        "from distort.shard import ShardJob, run_shard\n"
        "run_shard(ShardJob(sys.argv[1], tuple(sys.argv[3].split(',')), sys.argv[2]), 0, lambda done, bad: None)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    d = tmp_path / "d"
    names = "jpeg-10,j2k-75,bpg-46"
    assert run("distort", "run", tree, d, "--distortions", names, "--limit", 10).returncode == 0
    (d / "clean" / "000000.parquet").unlink()
    measured = subprocess.run(
        [sys.executable, "-c", code, d, tree, names], capture_output=True, text=True, check=True
    )
    assert int(measured.stdout) < 400_000
