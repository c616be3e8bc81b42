"""Distortions are written the way people say them, and a wrong name says what would be right."""

import numpy as np
import pytest

from distort import codecs
from distort.codecs.lossless import LOSSLESS
from distort.distortion import PRESETS, DistortionError, generator, parse, parse_list


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jpg-10", "unknown distortion 'jpg-10': did you mean 'jpeg-10'?"),
        ("bgp-41", "unknown distortion 'bgp-41': did you mean 'bpg-41'?"),
        ("papr", "unknown distortion 'papr': did you mean 'paper'?"),
        ("jpeg-0", "jpeg quality must be 1..100, got 0"),
        ("jpeg-101", "jpeg quality must be 1..100, got 101"),
        ("jpeg-nan", "jpeg quality must be 1..100, got nan"),
        ("jpeg-9.5", "jpeg quality must be a whole number, got 9.5"),
        ("jpeg", "jpeg needs its quality (1..100) after a dash, as in 'jpeg-10'"),
        ("jpeg-10:440", "unknown option ':440' in 'jpeg-10:440'; jpeg has :444, :422, :optimize"),
        ("jpeg-10:444:422", "'jpeg-10:444:422': choose one of :444, :422"),
        ("webp-20:444", "unknown option ':444' in 'webp-20:444'; webp has none"),
        ("noise-20+jpg-10", "unknown distortion 'jpg-10': did you mean 'jpeg-10'?"),
        ("", "unknown distortion '': 'distort list' shows what there is"),
    ],
)
def test_a_wrong_name_says_what_would_be_right(name, message):
    with pytest.raises(DistortionError) as error:
        parse(name)
    assert str(error.value) == message


def test_names_are_canonical():
    assert parse("j2k-75.0").name == "j2k-75"
    assert parse("jpeg-10:optimize:444").name == "jpeg-10:444:optimize"
    assert parse("noise-20.0 + jpeg-10").name == "noise-20+jpeg-10"


def test_lists_expand_presets_and_drop_repetitions():
    names = [d.name for d in parse_list("paper,jpeg-10,webp-20,clean")]
    assert names == [*PRESETS["paper"], "webp-20"]
    assert len(PRESETS["paper"]) == 9


def test_every_registered_step_is_described_and_its_example_parses():
    for name in codecs.names():
        step = codecs.load(name)
        assert step.name == name
        assert step.meaning
        assert step.low < step.high
        assert parse(step.example).name == step.example


@pytest.mark.parametrize(
    ("name", "rated"),
    [
        ("jpeg-10", True),
        ("noise-20+jpeg-10", True),
        ("jpeg-10+blur-1", True),
        ("noise-20", False),
        ("blur-1", False),
    ],
)
def test_the_rate_is_that_of_the_last_codec(crop, name, rated):
    made = parse(name).apply(crop, LOSSLESS["webp"], generator(0, "cat", name))
    assert (made.bytes is not None) == rated
    extension = parse(name).extension(LOSSLESS["webp"])
    assert np.array_equal(codecs.decode(made.stored, extension), made.rgb)
    if extension == "jpg":
        assert made.bytes == len(made.stored)


def test_noise_depends_on_seed_key_and_distortion_only(crop):
    def noisy(seed, key, name="noise-20"):
        return parse("noise-20").apply(crop, LOSSLESS["webp"], generator(seed, key, name)).rgb

    assert np.array_equal(noisy(0, "a"), noisy(0, "a"))
    assert not np.array_equal(noisy(0, "a"), noisy(0, "b"))
    assert not np.array_equal(noisy(0, "a"), noisy(1, "a"))
    assert not np.array_equal(noisy(0, "a"), noisy(0, "a", "noise-20+jpeg-10"))


def test_noise_has_its_standard_deviation_and_no_bias():
    grey = np.full((224, 224, 3), 128, np.uint8)
    error = parse("noise-20").apply(grey, LOSSLESS["webp"], generator(0, "k", "n")).rgb.astype(float) - 128
    assert abs(error.std() - 20) < 0.2
    assert abs(error.mean()) < 0.2  # truncation instead of rounding would give -0.5


def test_blur_is_a_gaussian_of_radius_four_sigma():
    point = np.zeros((31, 31, 3), np.uint8)
    point[15, 15] = 255
    blurred = parse("blur-1").apply(point, LOSSLESS["webp"], generator(0, "k", "n")).rgb[:, :, 0].astype(float)
    offsets = np.arange(-15, 16)
    kernel = np.exp(-0.5 * offsets**2) * (abs(offsets) <= 4)
    kernel /= kernel.sum()
    assert np.abs(blurred - 255 * np.outer(kernel, kernel)).max() <= 0.5
