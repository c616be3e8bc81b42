"""One picture that a codec cannot take, or that kills what reads it, costs itself and nothing else."""

import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

import shards
from distort.engines.base import Done, Failed, run
from distort.engines.local import Local
from distort.shard import ShardJob
from distort.units import PictureWork

sys.path.append(str(Path(__file__).parents[1] / "distort"))  # workers get our path
import engine_work as do


@pytest.fixture
def long_picture(tree, tmp_path) -> Path:
    """Twelve photographs and one picture that is longer than WebP can be."""
    source = Path(shutil.copytree(tree / "animals", tmp_path / "source"))
    Image.new("RGB", (17000, 3)).save(source / "long.png")
    return source


@pytest.mark.slow
def test_a_picture_above_a_codec_s_limits_is_a_bad_one(long_picture, tmp_path, run):
    work = ["distort", "run", long_picture, tmp_path / "d", "--crop", "none", "--clean", "png", "--shard-size", 5]
    made = run(*work, "--distortions", "jpeg-10,webp-20", "--max-bad", 1)
    assert made.returncode == 0, made.stderr
    (error,) = shards.open(tmp_path / "d").errors().to_pylist()
    assert error["source"] == "long.png"
    assert "webp-20: webp takes sides of at most 16383 pixels" in error["reason"]
    assert run("shards", "verify", tmp_path / "d", "--decode").returncode == 0


@pytest.mark.slow
def test_adding_such_a_column_names_the_picture(long_picture, tmp_path, run):
    d = tmp_path / "d"
    work = ["distort", "run", long_picture, d, "--crop", "none", "--clean", "png", "--shard-size", 5]
    assert run(*work, "--distortions", "jpeg-10").returncode == 0
    added = run("distort", "add", d, "--distortions", "webp-20")
    assert added.returncode == 1
    assert "key 'long' (long.png) cannot be encoded: webp-20: webp takes sides of at most" in added.stderr
    assert "1 shard failed" in added.stderr


def crash(dataset: Path, source: str | None, tmp_path: Path):
    """Remake shard 2 of a copy, one picture of which crashes its worker each time; the copy and what happened."""
    copy = Path(shutil.copytree(dataset, tmp_path / "val"))
    names = ["clean", "jpeg-10"] if source else ["jpeg-10"]
    for shard in range(5):
        for name in names:
            (copy / name / f"{shard:06d}.parquet").unlink()
    job = ShardJob(str(copy), ("jpeg-10",), source)
    return copy, list(run(Local(do.Crashing(job), 2), PictureWork(shards.open(copy), range(5), 2, 1.0)))


@pytest.mark.slow
def test_a_picture_that_crashes_its_decoder_is_a_bad_one(dataset, tree, tmp_path):
    copy, events = crash(dataset, str(tree), tmp_path)
    assert sorted(event.shard for event in events if isinstance(event, Done)) == [0, 1, 2, 3, 4]
    data = shards.open(copy)
    (error,) = data.errors().to_pylist()
    assert error == {"source": "animals/chelsea_3.jpg", "reason": "its worker died 2 times (killed by SIGSEGV)"}
    assert data.table("clean").num_rows == data.table("jpeg-10").num_rows == 23
    assert not (copy / ".partial").exists()


@pytest.mark.slow
def test_a_stored_crop_that_crashes_its_codec_fails_its_shard_by_name(dataset, tmp_path):
    copy, events = crash(dataset, None, tmp_path)
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert failed.reason == "animals/chelsea_3.jpg: its worker died 2 times (killed by SIGSEGV)"
    assert len(shards.open(copy).committed("jpeg-10")) == 4
