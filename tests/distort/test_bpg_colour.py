"""The fast colour path equals the format's integer arithmetic, written out here as plainly as possible."""

import numpy as np
import pytest

from distort.codecs.bpg.container import PIXEL_FORMATS, Layout
from distort.codecs.bpg.rgb_to_ycbcr import to_420, to_444
from distort.codecs.bpg.ycbcr_to_rgb import to_rgb


def plain_444(rgb):
    r, g, b = rgb.astype(np.int64).transpose(2, 0, 1)

    def dot(kr, kg, kb):
        one = 1 << 23
        return (round(kr * one) * r + round(kg * one) * g + round(kb * one) * b + (1 << 22)) >> 23

    y = dot(0.299, 0.587, 0.114)
    cb = dot(-0.5 * 0.299 / 0.886, -0.5 * 0.587 / 0.886, 0.5) + 128
    cr = dot(0.5, -0.5 * 0.587 / 0.701, -0.5 * 0.114 / 0.701) + 128
    return [np.clip(plane, 0, 255) for plane in (y, cb, cr)]


def halve(plane, rounding, shift):
    """Halve the last axis."""
    taps = (2, -4, -8, 17, 57, 57, 17, -8, -4, 2)
    last = plane.shape[-1] - 1
    columns = []
    for i in range((last + 2) // 2):
        source = [plane[..., min(max(2 * i - 4 + k, 0), last)] for k in range(10)]
        columns.append((sum(t * s for t, s in zip(taps, source, strict=True)) + rounding) >> shift)
    return np.stack(columns, -1)


def plain_420(rgb):
    y, *chroma = plain_444(rgb)
    across = [halve(plane, 1, 1) for plane in chroma]
    return [y, *(np.clip(halve(plane.T, 4096, 13).T, 0, 255) for plane in across)]


def double(plane, length):
    """Double the last axis, unrounded: 64 times the value."""
    taps = (2, -6, 18, 57, -10, 4, -1)
    last = plane.shape[-1] - 1
    columns = []
    for x in range(length):
        source = [plane[..., min(max(x // 2 - 3 + k, 0), last)] for k in range(7)]
        columns.append(sum(t * s for t, s in zip(taps[:: -1 if x % 2 else 1], source, strict=True)))
    return np.stack(columns, -1)


def plain_rgb(planes):
    y, cb, cr = (np.asarray(plane, np.int64) for plane in planes)
    height, width = y.shape
    if cb.shape != y.shape:
        cb, cr = (double(double(c.T, height).T, width) for c in (cb, cr))
        cb, cr = (np.clip((c + 2048) >> 12, 0, 255) for c in (cb, cr))
    one = 1 << 22
    cb, cr = cb - 128, cr - 128
    red = y * one + round(1.402 * one) * cr
    green = y * one - round(2 * 0.114 * 0.886 / 0.587 * one) * cb - round(2 * 0.299 * 0.701 / 0.587 * one) * cr
    blue = y * one + round(1.772 * one) * cb
    return np.clip((np.stack([red, green, blue], -1) + (one >> 1)) >> 22, 0, 255)


SIZES = [(1, 1), (1, 2), (2, 1), (3, 5), (8, 8), (9, 4), (31, 17), (64, 300), (301, 65), (2, 9001), (224, 224)]


def pictures(height, width):
    """Noise of all levels, noise of extremes only (the filters overshoot most), and one colour."""
    rng = np.random.default_rng(height * width)
    yield rng.integers(0, 256, (height, width, 3), np.uint8)
    yield rng.integers(0, 2, (height, width, 3), np.uint8) * np.uint8(255)
    yield np.broadcast_to(np.array([0, 0, 255], np.uint8), (height, width, 3))


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("fast", "plain"), [(to_420, plain_420), (to_444, plain_444)])
def test_forward_equals_the_integer_definition(fast, plain, height, width):
    for rgb in pictures(height, width):
        for ours, wanted in zip(fast(rgb), plain(rgb), strict=True):
            np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("pixel_format", [1, 3])
def test_backward_equals_the_integer_definition(pixel_format, height, width):
    layout = Layout(width, height, PIXEL_FORMATS[pixel_format])
    chroma_width, chroma_height = layout.chroma_size
    for picture in pictures(height, width):
        y, cb, cr = picture.transpose(2, 0, 1)
        planes = [y, cb[:chroma_height, :chroma_width], cr[:chroma_height, :chroma_width]]
        np.testing.assert_array_equal(to_rgb(planes, layout), plain_rgb(planes))


def test_every_colour_converts_as_defined():
    """All 2^24 colours would take a minute: every level of two channels, and every ninth of the third."""
    r, g, b = np.meshgrid(np.arange(256), np.arange(256), [*range(0, 256, 9), 254, 255], indexing="ij")
    colours = np.stack([r, g, b], -1).reshape(256, -1, 3).astype(np.uint8)
    planes = to_444(colours)
    for ours, wanted in zip(planes, plain_444(colours), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    layout = Layout(colours.shape[1], 256, PIXEL_FORMATS[3])
    triples = list(colours.transpose(2, 0, 1))  # and as (Y, Cb, Cr), most of them outside RGB
    np.testing.assert_array_equal(to_rgb(triples, layout), plain_rgb(triples))


def test_samples_outside_the_picture_do_not_matter():
    """A decoder hands over whole coding blocks; the filter must not see what lies beyond the picture."""
    rng = np.random.default_rng(0)
    layout = Layout(13, 11, PIXEL_FORMATS[1])
    planes = [rng.integers(0, 256, shape, np.uint8) for shape in ((16, 16), (8, 8), (8, 8))]
    wanted = to_rgb(planes, layout)
    planes[0][11:], planes[0][:, 13:] = 0, 0
    for plane in planes[1:]:
        plane[6:], plane[:, 7:] = 0, 0
    np.testing.assert_array_equal(to_rgb(planes, layout), wanted)
