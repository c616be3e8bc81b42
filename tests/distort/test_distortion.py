"""Distortions are written the way people say them, and a wrong name says what would be right."""

import numpy as np
import pytest

from distort import codecs
from distort.codecs.lossless import LOSSLESS
from distort.distortion import PRESETS, DistortionError, generator, parse, parse_list


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jpeg-10+clean", "'clean' is no distortion: every dataset has that column"),
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
        ("", "a step is missing: distortions are joined by single '+', as in 'noise-20+jpeg-10'"),
        ("jpeg-10+", "a step is missing: distortions are joined by single '+', as in 'noise-20+jpeg-10'"),
        ("jpeg10", "unknown distortion 'jpeg10': did you mean 'jpeg-10'?"),
        ("bpg_41:444", "unknown distortion 'bpg_41:444': did you mean 'bpg-41:444'?"),
        ("j2k75", "unknown distortion 'j2k75': did you mean 'j2k-75'?"),
        ("JPEG-10", "unknown distortion 'JPEG-10': did you mean 'jpeg-10'?"),
        ("jpg-10:444", "unknown distortion 'jpg-10:444': did you mean 'jpeg-10:444'?"),
        ("clean-3", "unknown distortion 'clean-3': did you mean 'clean'?"),
        ("qwertz-3", "unknown distortion 'qwertz-3': 'distort list' shows all of them"),
        (
            "jpeg-10;webp-20",
            "unknown distortion 'jpeg-10;webp-20': distortions are separated by commas, as in 'jpeg-10,webp-20'",
        ),
        ("jpeg-10:", "'jpeg-10:': an option is missing after ':'"),
        ("jpeg-1e1", "jpeg quality must be 1..100, got 1e1"),
        ("jpeg-٣", "jpeg quality must be 1..100, got ٣"),
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
        if step.parameter:  # others take a file, which has to be there
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


def test_one_array_goes_through_a_distortion_without_a_dataset(crop):
    made = codecs.get("bpg-41:fast").roundtrip(crop)
    assert made.bytes == len(made.bitstream)
    assert np.array_equal(codecs.decode(made.bitstream, "bpg"), made.rgb)
    chained = codecs.get("jpeg-10+noise-20").roundtrip(crop, np.random.default_rng(0))
    again = codecs.get("jpeg-10+noise-20").roundtrip(crop, np.random.default_rng(0))
    assert np.array_equal(chained.rgb, again.rgb)
    assert (chained.bitstream, chained.bytes) == (None, len(codecs.get("jpeg-10").roundtrip(crop).bitstream))
    flipped = codecs.get("jxl-40").roundtrip(crop[:, ::-1])
    assert np.array_equal(flipped.rgb, codecs.get("jxl-40").roundtrip(crop[:, ::-1].copy()).rgb)


@pytest.mark.parametrize("shape", [(224, 224), (3, 224, 224), (224, 224, 4), (0, 224, 3)])
def test_an_array_that_is_no_rgb_picture_is_refused_with_its_shape(shape):
    with pytest.raises(ValueError, match=r"jpeg-10 needs a uint8 array \(height, width, 3\), got uint8"):
        codecs.get("jpeg-10").roundtrip(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="got float64"):
        codecs.get("jpeg-10").roundtrip(np.zeros((8, 8, 3)))


def test_a_codec_that_cannot_hold_the_crops_is_refused_before_anything_is_made(run, tree, tmp_path):
    arguments = ("--crop", "center:8", "--distortions", "jpeg-10,hevc-41")
    done = run("distort", "run", tree, tmp_path / "d", *arguments)
    assert done.returncode == 1
    assert "hevc-41 cannot be made with --crop center:8: x265 does not encode 8x8" in done.stderr
    assert not list(tmp_path.rglob("*.tar"))
