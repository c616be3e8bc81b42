"""Decoded planes to RGB, in the integer arithmetic of the reference decoder.

Chroma is interpolated to the size of luma, vertically and then horizontally, and the planes are converted with
fixed-point matrices. Source: the behaviour of bpgdec 0.9.8 with 8-bit output; see docs/bpg.md.
"""

from __future__ import annotations

import numpy as np

from distort.codecs.bpg.container import RGB, YCBCR_601, YCBCR_709, YCBCR_2020, Layout
from distort.codecs.bpg.rgb_to_ycbcr import strips, weighted_sum

#: Interpolation taps, in units of 1/64, for the even and the odd output samples, at input offsets -3 .. 4.
#: Absolute values sum to at most 102, so two passes over 8-bit samples stay below 255 * 102 * 102 < 2^22.
CENTRED = ((2, -6, 18, 57, -10, 4, -1, 0), (-1, 4, -10, 57, 18, -6, 2, 0))
COSITED = ((0, 0, 0, 64, 0, 0, 0, 0), (-1, 4, -11, 40, 40, -11, 4, -1))
BEFORE, AFTER = 3, 4

SHIFT = 22  # fractional bits of the matrices

KR_KB = {YCBCR_601: (0.299, 0.114), YCBCR_709: (0.2126, 0.0722), YCBCR_2020: (0.2627, 0.0593)}


def to_rgb(planes: list[np.ndarray], layout: Layout) -> np.ndarray:
    """The uint8 (height, width, 3) picture of one or three planes of unsigned samples.

    ``planes`` may be larger than ``layout`` says; samples outside are ignored.
    """
    height, width = layout.height, layout.width
    luma = planes[0][:height, :width]
    # Full range fits int32: the largest sum is 255 * (1 + 1.8814 / 2) * 2^22 < 2^31. Limited range does not.
    dtype: type[np.signedinteger] = np.int64 if layout.limited_range else np.int32
    scale, offset, matrix = _matrix(layout)
    chroma = _Chroma(planes[1:], layout) if len(planes) == 3 else None
    rgb = np.empty((height, width, 3), np.uint8)

    for top, bottom in strips(height, width):
        y = luma[top:bottom].astype(dtype)
        if layout.colour_space != RGB:
            y *= scale
            y += offset
        if chroma is None:
            rgb[top:bottom] = _to_byte(y)[:, :, None]
            continue
        pair = chroma.rows(top, bottom).astype(dtype, copy=False)
        if layout.colour_space == RGB:
            for channel, plane in zip((1, 2, 0), (y, *pair), strict=True):
                plane *= scale
                plane += offset
                rgb[top:bottom, :, channel] = _to_byte(plane)
            continue
        pair -= 1 << layout.bit_depth - 1
        total, scratch = np.empty((2, *y.shape), dtype)
        for channel, weights in enumerate(matrix):
            np.copyto(total, y)
            for plane, weight in zip(pair, weights, strict=True):
                if weight:
                    np.multiply(plane, weight, out=scratch)
                    total += scratch
            rgb[top:bottom, :, channel] = _to_byte(total)
    return rgb


def _to_byte(total: np.ndarray) -> np.ndarray:
    total >>= SHIFT
    return np.clip(total, 0, 255, out=total)


def _matrix(layout: Layout) -> tuple[int, int, tuple[tuple[int, int], ...]]:
    """Weight of luma, its offset with rounding, and the weights of the two chroma planes in R, G and B."""
    luma = chroma = 255 * (1 << SHIFT) / ((1 << layout.bit_depth) - 1)
    offset = 1 << SHIFT - 1
    if layout.limited_range:
        luma = 255 * (1 << SHIFT) / (219 << layout.bit_depth - 8)
        chroma = 255 * (1 << SHIFT) / (224 << layout.bit_depth - 8)
        offset -= (16 << layout.bit_depth - 8) * round(luma)
    if layout.colour_space in KR_KB:
        kr, kb = KR_KB[layout.colour_space]
        kg = 1 - kr - kb
        red, blue = round(2 * (1 - kr) * chroma), round(2 * (1 - kb) * chroma)
        green = -round(2 * kb * (1 - kb) / kg * chroma), -round(2 * kr * (1 - kr) / kg * chroma)
        return round(luma), offset, ((0, red), green, (blue, 0))
    one = round(luma)  # YCgCo: chroma has the same scale as luma
    return one, offset, ((-one, one), (one, 0), (-one, -one))


class _Chroma:
    """Cb and Cr at the size of luma, a strip of rows at a time."""

    def __init__(self, planes: list[np.ndarray], layout: Layout):
        self.layout = layout
        self.width, self.height = layout.chroma_size
        self.vertical = layout.pixel_format.chroma_format_idc == 1
        self.horizontal = layout.pixel_format.chroma_format_idc < 3
        cut = [plane[: self.height, : self.width] for plane in planes]
        self.planes = self._with_edges(cut) if self.horizontal else np.stack(cut)

    def _with_edges(self, planes: list[np.ndarray]) -> np.ndarray:
        """int32 (2, height + 7, width + 7): the planes with their edges repeated as far as the taps reach."""
        out = np.empty((2, self.height + BEFORE + AFTER, self.width + BEFORE + AFTER), np.int32)
        inside = slice(BEFORE, BEFORE + self.height)
        for extended, plane in zip(out, planes, strict=True):
            extended[inside, BEFORE : BEFORE + self.width] = plane
        out[:, inside, :BEFORE] = out[:, inside, BEFORE : BEFORE + 1]
        out[:, inside, BEFORE + self.width :] = out[:, inside, BEFORE + self.width - 1 : BEFORE + self.width]
        out[:, :BEFORE] = out[:, BEFORE : BEFORE + 1]
        out[:, BEFORE + self.height :] = out[:, BEFORE + self.height - 1 : BEFORE + self.height]
        return out

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """int32 (2, bottom - top, luma width), a new array; ``top`` is even."""
        if not self.horizontal:
            return self.planes[:, top:bottom].astype(np.int32)
        if not self.vertical:
            source = self.planes[:, BEFORE + top : BEFORE + bottom]
            return self._across(source, shift=6)
        depth = self.layout.bit_depth
        source = self._down(top, bottom, shift=depth - 8)
        return self._across(source[:, : bottom - top], shift=20 - depth)

    def _down(self, top: int, bottom: int, shift: int) -> np.ndarray:
        first, last = top // 2, (bottom + 1) // 2
        out = np.empty((2, 2 * (last - first), self.planes.shape[2]), np.int32)
        scratch = np.empty((2, last - first, self.planes.shape[2]), np.int32)
        source = [self.planes[:, first + k : last + k] for k in range(8)]
        for parity, taps in enumerate(CENTRED):
            weighted_sum(source, taps, out[:, parity::2], scratch)
        if shift:
            out += 1 << shift - 1
            out >>= shift
        return out

    def _across(self, rows: np.ndarray, shift: int) -> np.ndarray:
        out = np.empty((2, rows.shape[1], 2 * self.width), np.int32)
        total, scratch = np.empty((2, 2, rows.shape[1], self.width), np.int32)
        source = [rows[:, :, k : k + self.width] for k in range(8)]
        for parity, taps in enumerate(CENTRED if self.layout.pixel_format.centred else COSITED):
            weighted_sum(source, taps, total, scratch)
            total += 1 << shift - 1
            total >>= shift
            out[:, :, parity::2] = total
        np.clip(out, 0, (1 << self.layout.bit_depth) - 1, out=out)
        return out[:, :, : self.layout.width]
