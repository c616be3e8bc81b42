"""The paper's crop is torchvision's, pixel by pixel; random crops depend on seed and key alone."""

import numpy as np
import pytest
from PIL import Image

from distort import crops
from distort.pictures import BadPicture

SIZES = [(451, 300), (300, 451), (256, 256), (500, 375), (333, 257), (224, 224), (100, 60), (1, 1), (97, 1001)]


@pytest.fixture
def picture(photographs):
    image = Image.fromarray(photographs["chelsea"])
    return lambda size: image.resize(size)


@pytest.mark.parametrize("size", SIZES)
def test_paper_is_resize_256_bicubic_and_centre_224_of_torchvision(picture, size):
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is an extra")
    bicubic = transforms.InterpolationMode.BICUBIC
    expected = transforms.CenterCrop(224)(transforms.Resize(256, bicubic)(picture(size)))
    ((_, crop),) = crops.parse("paper").apply(picture(size), 0, "k")
    assert np.array_equal(crop, np.asarray(expected))


@pytest.mark.parametrize(("length", "offset"), [(256, 16), (257, 16), (259, 18), (261, 18), (263, 20)])
def test_the_centre_offset_rounds_half_to_even(length, offset):
    columns = np.arange(length, dtype=np.uint16).repeat(256).reshape(length, 256).T
    rgb = np.stack([columns & 255, columns >> 8, columns], 2).astype(np.uint8)
    ((_, crop),) = crops.parse("center:224").apply(Image.fromarray(rgb), 0, "k")
    assert int(crop[0, 0, 0]) + 256 * int(crop[0, 0, 1]) == offset


def test_none_keeps_the_picture(picture):
    ((key, crop),) = crops.parse("none").apply(picture((31, 17)), 0, "k")
    assert key == "k"
    assert np.array_equal(crop, np.asarray(picture((31, 17))))


def test_random_crops_are_seeded_by_seed_and_key(picture):
    def cut(seed, key):
        return crops.parse("random:3").apply(picture((451, 300)), seed, key)

    keys, first = zip(*cut(0, "cat"), strict=True)
    assert keys == ("cat-0", "cat-1", "cat-2")
    assert all(crop.shape == (224, 224, 3) for crop in first)
    assert all(np.array_equal(a, b) for a, (_, b) in zip(first, cut(0, "cat"), strict=True))
    assert not any(np.array_equal(a, b) for a, (_, b) in zip(first, cut(1, "cat"), strict=True))
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("size", SIZES)
def test_random_crops_work_at_any_size(picture, size):
    for _, crop in crops.parse("random:5").apply(picture(size), 0, "k"):
        assert crop.shape == (224, 224, 3)


def test_crops_are_read_only_so_that_codecs_may_share_conversions(picture):
    ((_, crop),) = crops.parse("paper").apply(picture((451, 300)), 0, "k")
    assert not crop.flags.writeable


def test_pictures_that_cannot_be_cropped_say_why(picture):
    with pytest.raises(BadPicture, match="100x60 is smaller than the crop of 224x224"):
        crops.parse("center:224").apply(picture((100, 60)), 0, "k")
    with pytest.raises(BadPicture, match="10000x3: a short side of 3 resized to 256 gives 853333x256"):
        crops.parse("paper").apply(Image.new("RGB", (10000, 3)), 0, "k")


@pytest.mark.parametrize("name", ["papers", "center", "center:0", "random:x", "random:-1", ""])
def test_an_unknown_crop_says_what_there_is(name):
    with pytest.raises(ValueError, match="use paper, none, center:SIZE or random:K"):
        crops.parse(name)
