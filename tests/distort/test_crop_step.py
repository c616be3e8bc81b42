"""``jpeg-10+crop``: the source picture is distorted at its own size, then resized and cropped."""

import shutil

import numpy as np
import pytest
from PIL import Image

import distort
import shards
from distort import codecs
from distort.codecs import decode
from distort.crops import parse as parse_crop
from distort.distortion import DistortionError, generator, parse
from distort.metrics import Reference
from distort.pictures import load
from distort.quality import EncodeTime, Pair
from shards.dataset import Dataset

pytestmark = pytest.mark.slow

NAMES = ["jpeg-10+crop", "noise-20+jpeg-10+crop", "jpeg-10+crop+j2k-75"]


@pytest.fixture(scope="module")
def source(tree, tmp_path_factory):
    """Three pictures of different sizes."""
    root = tmp_path_factory.mktemp("few") / "tree"
    for i in range(3):
        (root / "animals").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree / "animals" / f"chelsea_{i}.jpg", root / "animals" / f"c{i}.jpg")
    return root


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    root = tmp_path_factory.mktemp("native") / "d"
    distort.run(source, root, distortions=["jpeg-10", *NAMES], workers=1, shard_size=2)
    return root


def test_a_column_is_what_crop_and_codec_make_of_the_source(made, source):
    data = shards.open(made)
    sources = {row["key"]: row["source"] for row in data.table("clean").to_pylist()}
    crop, jpeg = parse_crop("paper"), codecs.load("jpeg")(10)
    for key, _, clean, native, noisy, twice in data.read("clean", *NAMES):
        image = load((source / sources[key]).read_bytes())
        stream = jpeg.encode(np.asarray(image))
        wanted = crop.one(Image.fromarray(jpeg.decode(stream)), 0, key)
        found = decode(native.data, native.extension)
        assert np.array_equal(found, wanted)
        assert native.bytes == len(stream)
        assert native.bpp == pytest.approx(8 * len(stream) / (image.width * image.height))
        reference = Reference(decode(clean.data, clean.extension))
        assert native.psnr == pytest.approx(reference.psnr(wanted), abs=1e-6)
        assert noisy.extension == clean.extension
        # The last codec sees the crop: its bitstream is stored, and its rate counts.
        assert twice.extension == "jp2"
        assert (twice.bytes, twice.bpp) == (len(twice.data), pytest.approx(8 * twice.bytes / 224**2))
        again = codecs.get("j2k-75").roundtrip(wanted)
        assert np.array_equal(decode(twice.data, "jp2"), again.rgb)
    assert list(shards.verify(made, decode=True)) == []


def test_compression_before_the_resize_costs_more_and_harms_less(made):
    stats = {row["distortion"]: row for row in Dataset(made).stats().to_pylist()}
    assert stats["jpeg-10+crop"]["bytes_mean"] > stats["jpeg-10"]["bytes_mean"]
    assert stats["jpeg-10+crop"]["psnr_mean"] != stats["jpeg-10"]["psnr_mean"]


def test_such_a_column_is_added_later_from_the_source_and_bytes_are_the_same(made, source, tmp_path, digests):
    root = tmp_path / "d"
    distort.run(source, root, distortions="jpeg-10", workers=1, shard_size=2)
    with pytest.raises(
        DistortionError, match=r"'jpeg-10\+crop' sees the source .* 'distort run SOURCE DATASET' makes"
    ):
        distort.add(root, distortions=NAMES)
    assert list(Dataset(root).columns) == ["clean", "jpeg-10"]
    distort.run(source, root, distortions=["jpeg-10", *NAMES], workers=1, shard_size=2)
    assert digests(root) == digests(made)


def test_a_source_that_changed_since_fails_the_shard(source, tmp_path):
    changed = shutil.copytree(source, tmp_path / "tree")
    root = tmp_path / "d"
    distort.run(changed, root, distortions="jpeg-10", workers=1)
    (changed / "animals" / "c1.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"c1\.jpg has a clean crop, and cannot be used now"):
        distort.run(changed, root, distortions=["jpeg-10", "jpeg-10+crop"], workers=1, max_bad=1)


@pytest.mark.parametrize("name", ["crop", "crop+jpeg-10", "jpeg-10+crop+crop"])
def test_a_crop_stands_once_behind_a_step(name):
    with pytest.raises(DistortionError, match="'crop' stands once, behind the steps"):
        parse(name)


def test_without_a_source_there_is_nothing_to_crop(crop):
    with pytest.raises(ValueError, match="only 'distort run' and 'distort preview' crop a source picture"):
        parse("jpeg-10+crop").roundtrip(crop, generator(0, "a", "b"))


def test_the_time_to_encode_a_picture_that_is_not_stored_is_not_measured(crop):
    assert EncodeTime().measure(Pair("a", crop, crop, b"", {"column": "jpeg-10+crop"}, 0)) is None
