"""Codecs write exactly what the named libraries write, and our fast decoders see the same pixels."""

import io
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from distort import codecs
from distort.codecs.lossless import LOSSLESS
from distort.distortion import parse
from shards.errors import DatasetError


def encode(name: str, rgb: np.ndarray) -> bytes:
    return parse(name).steps[0].encode(rgb)


def pillow(rgb: np.ndarray, format: str, **settings) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, format, **settings)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "format", "settings"),
    [
        ("jpeg-10", "JPEG", {"quality": 10, "subsampling": "4:2:0"}),
        ("jpeg-10:444", "JPEG", {"quality": 10, "subsampling": "4:4:4"}),
        ("jpeg-75:422:optimize", "JPEG", {"quality": 75, "subsampling": "4:2:2", "optimize": True}),
        ("j2k-75", "JPEG2000", {"quality_layers": [75]}),
        ("j2k-400:irreversible", "JPEG2000", {"quality_layers": [400], "irreversible": True}),
        ("webp-20", "WEBP", {"quality": 20}),
    ],
)
def test_bytes_are_exactly_those_of_pillow(crop, name, format, settings):
    assert encode(name, crop) == pillow(crop, format, **settings)


@pytest.mark.parametrize("name", ["jpeg-5", "jpeg-75:444", "j2k-75", "j2k-400:irreversible", "webp-20", "avif-30"])
@pytest.mark.parametrize("size", [(224, 224), (17, 31), (1, 1), (5, 200)])
def test_decoders_see_the_pixels_that_pillow_sees(crop, name, size):
    data = encode(name, np.ascontiguousarray(crop[: size[0], : size[1]]))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    extension = parse(name).steps[0].extension
    assert np.array_equal(codecs.decode(data, extension), expected)


@pytest.mark.parametrize("name", ["jpeg-10", "j2k-75", "webp-20", "avif-30", "jxl-40"])
def test_encoding_does_not_depend_on_what_was_encoded_before(crop, photographs, name):
    other = np.ascontiguousarray(photographs["coffee"][:224, :224])
    first = encode(name, crop)
    encode(name, other)
    assert encode(name, crop) == first
    assert encode(name, other) != first


def test_a_reused_buffer_is_encoded_anew(crop, photographs):
    buffer = crop.copy()
    first = encode("jpeg-10", buffer)
    buffer[:] = photographs["coffee"][:224, :224]
    assert encode("jpeg-10", buffer) != first


@pytest.mark.parametrize("store", LOSSLESS)
@pytest.mark.parametrize("size", [(224, 224), (17, 31), (1, 1)])
def test_lossless_stores_are_lossless(crop, store, size):
    rgb = np.ascontiguousarray(crop[: size[0], : size[1]])
    data = LOSSLESS[store].encode(rgb)
    assert np.array_equal(codecs.decode(data, LOSSLESS[store].extension), rgb)


def test_jxl_quality_100_is_lossless_and_lower_ones_are_smaller(crop):
    assert np.array_equal(codecs.decode(encode("jxl-100", crop), "jxl"), crop)
    sizes = [len(encode(f"jxl-{quality}", crop)) for quality in (10, 40, 70, 90, 100)]
    assert sizes == sorted(sizes)


def test_j2k_size_follows_the_compression_ratio(photographs):
    crops = [rgb[y : y + 224, x : x + 224] for rgb in photographs.values() for y in (0, 60) for x in (0, 120)]
    for ratio in (75, 200, 400):
        sizes = [len(encode(f"j2k-{ratio}", np.ascontiguousarray(rgb))) for rgb in crops]
        assert abs(np.mean(sizes) - 224 * 224 * 3 / ratio) < 20


@pytest.mark.parametrize("extension", ["jpg", "jp2", "webp", "avif", "jxl", "png"])
@pytest.mark.parametrize("data", [b"", b"not a picture at all", b"\xff\xd8\xff\xe0"])
def test_bytes_that_are_no_picture_are_a_value_error(extension, data):
    with pytest.raises(ValueError, match=rf"not a readable \.{extension} bitstream"):
        codecs.decode(data, extension)


def test_an_unknown_extension_is_a_value_error():
    with pytest.raises(ValueError, match=r"no installed codec decodes \.gif files"):
        codecs.decode(b"GIF89a", "gif")


def test_settings_name_every_option_and_library():
    for name in ("jpeg-10", "j2k-75", "webp-20", "avif-30", "jxl-40", "noise-20", "blur-1"):
        (step,) = parse(name).settings()
        assert step["settings"]
        assert all(version != "None" for version in step["versions"].values())
    assert parse("jpeg-10").settings()[0]["settings"] == {"quality": 10, "subsampling": "4:2:0", "optimize": False}
    assert parse("jpeg-10").settings()[0]["versions"]["decoder"] == imagecodecs.jpeg8_version()


@pytest.mark.parametrize(
    ("name", "width", "height", "reason"),
    [
        ("jpeg-10", 65501, 16, "jpeg takes sides of at most 65500 pixels, the picture is 65501x16"),
        ("webp-20", 16, 16384, "webp takes sides of at most 16383 pixels, the picture is 16x16384"),
        ("avif-30", 32769, 16, "avif takes sides of at most 32768 pixels, the picture is 32769x16"),
        (
            "bpg-51:fast",
            17000,
            16,
            "bpg: the picture is 17000x16: the limit is 35651584 pixels and 16888 per side",
        ),
        ("bpg-51:fast", 16000, 8, "x265 refuses a picture of 16000x16 at QP 51"),
        ("hevc-51:fast", 15, 32, "x265 does not encode 15x32: each side needs 16 pixels; use bpg instead"),
        ("noise-20+hevc-51:fast", 33, 32, "HEVC cannot express 33x32 in 4:2:0"),
        ("noise-20", 16, 16384, "lossless webp takes sides of at most 16383 pixels, the picture is 16x16384"),
    ],
)
def test_a_picture_that_a_codec_cannot_hold_is_refused_with_size_and_limit(name, width, height, reason):
    grey = np.full((height, width, 3), 128, np.uint8)
    with pytest.raises(codecs.UnsupportedPicture, match=f"^{reason}"):
        parse(name).apply(grey, LOSSLESS["webp"], np.random.default_rng(0))


@pytest.mark.parametrize(
    ("column", "step", "allowed"),
    [
        ("png", "lossless png", {"lossless", "pillow"}),
        ("jpg", "jpeg", {"jpeg", "pillow"}),
        ("bpg", "bpg", {"bpg"}),
    ],
)
def test_decoding_imports_the_codec_of_the_column_and_no_other(column, step, allowed):
    described = {"extension": column, "steps": [{"name": step, "settings": {}}]}
    code = (
        "import sys; from distort import codecs\n"
        "before = {m for m in sys.modules if m.startswith('distort.codecs.')}\n"
        f"codecs.decoder({described!r}); codecs.decoder({column!r})\n"
        "print(*{m.split('.')[2] for m in sys.modules if m.startswith('distort.codecs.')} - {'base'})\n"
        "assert before == {'distort.codecs.base'}, before"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= allowed


@pytest.mark.parametrize(
    "name", ["jpeg-10", "j2k-75", "webp-20", "avif-30", "jxl-40", "bpg-41:fast", "hevc-41:fast"]
)
def test_a_decoder_of_a_column_writes_into_the_array_it_is_given(crop, name):
    distortion = parse(name)
    step = distortion.steps[0]
    data = step.encode(crop)
    decode = codecs.decoder({"column": name, "extension": step.extension, "steps": distortion.settings()})
    expected = codecs.decode(data, step.extension)
    out = np.zeros((3, *crop.shape), np.uint8)
    assert decode(data, out[0]) is not None
    assert all(np.array_equal(rgb, expected) for rgb in decode.batch([data, data], out[1:]))
    assert all(np.array_equal(rgb, expected) for rgb in out)
    small = np.zeros((5, 5, 3), np.uint8)
    assert np.array_equal(decode(data, small), expected)
    assert not small.any()


def test_a_codec_that_is_not_installed_is_named_with_its_column():
    column = {"column": "their-7", "extension": "thr", "steps": [{"name": "their", "settings": {}}]}
    with pytest.raises(DatasetError, match="column 'their-7': the codec 'their' is not installed here"):
        codecs.decoder(column)


def test_what_a_codec_raises_unexpectedly_is_an_error_that_names_it(crop, monkeypatch):
    distortion = parse("jpeg-10")
    monkeypatch.setattr(distortion.steps[0], "encode", lambda rgb: {}["gone"])
    with pytest.raises(RuntimeError, match="jpeg: KeyError: 'gone'"):
        distortion.apply(crop, LOSSLESS["webp"], np.random.default_rng(0))


def test_every_codec_states_what_tables_and_figures_say_of_it():
    for name in codecs.REGISTRY:
        step = codecs.load(name)
        assert step.title
        assert all(len(colour) == 7 and colour.startswith("#") for colour in step.colour)
        assert step.higher_is_better == (step.parameter in ("quality", "lambda"))
