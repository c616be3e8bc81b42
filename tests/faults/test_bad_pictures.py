"""Runs over bad pictures: when they stop, what --retry makes again."""

import re
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image

import distort
import shards.cli
from distort.sources import SourceError
from shards.errors import DatasetError

pytestmark = pytest.mark.slow


def test_when_nearly_all_pictures_fail_nothing_is_begun(tree, tmp_path):
    source, d = tmp_path / "source", tmp_path / "d"
    shutil.copytree(tree / "animals", source)
    for i in range(200):
        (source / f"{i}.jpg").write_text("not a picture")
    with pytest.raises(SourceError, match=r"pictures tried cannot be read:\n  \d+ x UnidentifiedImageError"):
        distort.run(source, d, distortions="jpeg-10")
    assert not d.exists()
    assert distort.run(source, d, distortions="jpeg-10", max_bad=1).bad == 200


def test_a_source_that_goes_bad_on_the_way_ends_the_run(tmp_path, run):
    source, d = tmp_path / "source", tmp_path / "d"
    source.mkdir()
    for i in range(600):
        Image.new("L", (16, 16), i % 256).save(source / f"{i:03d}.png")
    for i in range(120):
        (source / f"z{i}.jpg").write_bytes(b"")
    work = ["distort", "run", source, d, "--distortions", "jpeg-10", "--crop", "none", "--keep-order"]
    work += ["--shard-size", 120, "--workers", 1]
    made = run(*work)
    assert made.returncode == 1
    found = re.search(
        r"(\d+) of the first \1 pictures of shard 000005 cannot be read, \1 of them: empty", made.stderr
    )
    assert 100 <= int(found[1]) < 120
    assert not (d / "clean" / "000005.parquet").exists()
    assert "600 of 720 pictures" in run(*work, "--max-bad", 1).stdout


def test_bad_pictures_are_tried_again_on_request(tree, tmp_path, digests):
    good, source, d = tmp_path / "good", tmp_path / "source", tmp_path / "d"
    for root in (good, source):
        shutil.copytree(tree, root)
    (source / "animals" / "chelsea_0.jpg").write_bytes(b"")
    (source / "things" / "coffee_0.jpg").write_text("text")
    both = {"distortions": "jpeg-10,webp-20", "shard_size": 6, "max_bad": 1}
    distort.run(good, tmp_path / "expected", **both)
    assert distort.run(source, d, **both).bad == 2
    listed = CliRunner().invoke(shards.cli.main, ["errors", str(d)]).output
    assert "2 of 24 pictures could not be read" in listed
    assert "1 x empty file\n  animals/chelsea_0.jpg" in listed
    for name in ("animals/chelsea_0.jpg", "things/coffee_0.jpg"):
        shutil.copy(good / name, source / name)
    one = {"distortions": "jpeg-10", "shard_size": 6}
    assert distort.run(source, d, **one, max_bad=1).shards == 0  # only on request
    again = distort.run(source, d, **one, retry=True)
    assert again.bad == 0
    assert digests(d) == digests(tmp_path / "expected")  # webp-20 too


def test_another_version_tries_no_picture_again_and_takes_nothing_back(tree, tmp_path, digests):
    source, d = tmp_path / "source", tmp_path / "d"
    shutil.copytree(tree / "animals", source)
    good = (source / "chelsea_0.jpg").read_bytes()
    (source / "chelsea_0.jpg").write_bytes(b"")
    work = {"distortions": "jpeg-10", "workers": 1, "max_bad": 1}
    distort.run(source, d, **work)
    (source / "chelsea_0.jpg").write_bytes(good)
    column = d / "jpeg-10" / "column.json"
    column.write_text(column.read_text().replace('"pillow": "', '"pillow": "0.'))
    before = digests(d)
    with pytest.raises(DatasetError, match="new shards of column 'jpeg-10' would differ"):
        distort.run(source, d, **work, retry=True)
    assert digests(d) == before
