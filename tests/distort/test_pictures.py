"""Any picture that Pillow reads becomes RGB; what cannot be read says why."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from distort.pictures import BadPicture, load


def file(image: Image.Image, format: str, **settings) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **settings)
    return stream.getvalue()


def rgb(data: bytes, **settings) -> np.ndarray:
    return np.asarray(load(data, **settings))


@pytest.fixture
def cat(crop):
    return Image.fromarray(crop)


def test_the_file_name_does_not_matter_only_the_content(cat):
    assert np.array_equal(rgb(file(cat, "PNG")), np.asarray(cat))  # ImageNet has a PNG named .JPEG


def test_grey_palette_and_bilevel_pictures_are_expanded(cat):
    grey = cat.convert("L")
    assert np.array_equal(rgb(file(grey, "PNG")), np.asarray(grey)[:, :, None].repeat(3, 2))
    palette = cat.quantize(64)
    assert np.array_equal(rgb(file(palette, "PNG")), np.asarray(palette.convert("RGB")))
    assert set(np.unique(rgb(file(cat.convert("1"), "PNG")))) == {0, 255}


def test_cmyk_jpeg_is_converted(cat):
    data = file(cat.convert("CMYK"), "JPEG", quality=95)
    assert np.abs(rgb(data).astype(int) - np.asarray(cat)).mean() < 5


def test_sixteen_bit_grey_keeps_its_high_byte():
    ramp = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    assert np.array_equal(rgb(file(Image.fromarray(ramp), "PNG"))[:, :, 1], ramp >> 8)


def test_transparency_is_laid_over_white(cat):
    see_through = cat.copy()
    see_through.putalpha(0)
    assert (rgb(file(see_through, "PNG")) == 255).all()
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert abs(int(rgb(file(half, "PNG"))[0, 0, 0]) - 127) <= 1
    keyed = Image.new("RGB", (4, 4), (9, 9, 9))
    assert (rgb(file(keyed, "PNG", transparency=(9, 9, 9))) == 255).all()


def test_exif_orientation_is_honoured_only_on_request(cat):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    data = file(cat.crop((0, 0, 100, 50)), "JPEG", exif=exif)
    assert rgb(data).shape == (50, 100, 3)
    assert rgb(data, exif_orientation=True).shape == (100, 50, 3)


def bomb() -> bytes:
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"This is a text file, whatever its name.", "UnidentifiedImageError: cannot identify image file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "UnidentifiedImageError"),
        (bomb(), "decompression bomb"),
    ],
)
def test_what_is_no_picture_says_why(data, reason):
    with pytest.raises(BadPicture, match=reason) as error:
        load(data)
    assert "0x" not in str(error.value)  # a memory address would make every run's record different


def test_truncated_and_floating_point_pictures_say_why(cat):
    with pytest.raises(BadPicture, match="truncated"):
        load(file(cat, "JPEG")[:3000])
    with pytest.raises(BadPicture, match="floating-point"):
        load(file(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))
