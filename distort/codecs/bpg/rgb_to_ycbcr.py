"""RGB to full-range BT.601 YCbCr and 4:2:0 chroma, in the integer arithmetic of the reference encoder.

Rows are converted in strips that fit the cache: the page faults of a fresh full-size temporary cost more than the
arithmetic. Every sum is exact in int32; the comments give the bounds.
Source: the behaviour of bpgenc 0.9.8 for 8-bit RGB input; see docs/bpg.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from distort.codecs.base import once_per_picture

SHIFT = 23
KR, KB = 0.299, 0.114
KG = 1 - KR - KB


def _fixed(*row: float) -> tuple[int, ...]:
    return tuple(round(coefficient * (1 << SHIFT)) for coefficient in row)


#: Rows Y, Cb, Cr of the BT.601 matrix. A row's positive entries sum to at most 1.0, so a weighted sum of
#: bytes plus rounding is below 255 * 2^23 + 2^22 < 2^31.
LUMA = _fixed(KR, KG, KB)
CHROMA = (
    _fixed(-KR / (2 * (1 - KB)), -KG / (2 * (1 - KB)), 0.5),
    _fixed(0.5, -KG / (2 * (1 - KR)), -KB / (2 * (1 - KR))),
)

#: Filter that halves chroma; output samples lie midway between two input samples. Taps at input offsets
#: 2i-4 .. 2i+5, in units of 1/128. Absolute values sum to 176, so two passes stay below 255 * 176 * 176 < 2^23.
HALVING = (2, -4, -8, 17, 57, 57, 17, -8, -4, 2)

STRIP = 16384  # luma samples: the int32 temporaries of a strip (64 KiB each) stay in the L2 cache


def weighted_sum(
    terms: Sequence[np.ndarray] | np.ndarray, weights: Sequence[int], out: np.ndarray, scratch: np.ndarray
) -> np.ndarray:
    """``out = sum(weight * term)`` without allocating: ``scratch`` has the shape of ``out``."""
    np.multiply(terms[0], weights[0], out=out)
    for term, weight in zip(terms[1:], weights[1:], strict=True):
        if weight:
            np.multiply(term, weight, out=scratch)
            out += scratch
    return out


def strips(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Row ranges (top, bottom) that cover the picture: an even number of rows each, about ``STRIP`` samples."""
    rows = max(2, STRIP // width // 2 * 2)
    return ((top, min(top + rows, height)) for top in range(0, height, rows))


def _ycbcr(rgb: np.ndarray, luma: np.ndarray, chroma: np.ndarray) -> None:
    """Convert a strip (rows, width, 3): uint8 ``luma`` (rows, width), int32 ``chroma`` (2, rows, width)."""
    channels = np.ascontiguousarray(rgb.transpose(2, 0, 1)).astype(np.int32)
    total, scratch = np.empty((2, *luma.shape), np.int32)
    weighted_sum(channels, LUMA, total, scratch)
    total += 1 << SHIFT - 1
    total >>= SHIFT
    luma[...] = total  # never above 255: the weights sum to 2^23
    for plane, weights in zip(chroma, CHROMA, strict=True):
        weighted_sum(channels, weights, total, scratch)
        total += 1 << SHIFT - 1
        total >>= SHIFT
        total += 128
        np.minimum(total, 255, out=plane, casting="unsafe")  # 256 for pure blue and pure red; never below 0


@once_per_picture
def to_444(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y, Cb and Cr of a uint8 (height, width, 3) picture: three uint8 (height, width) planes."""
    height, width, _ = rgb.shape
    planes = np.empty((3, height, width), np.uint8)
    for top, bottom in strips(height, width):
        _ycbcr(rgb[top:bottom], planes[0, top:bottom], planes[1:, top:bottom])
    return planes[0], planes[1], planes[2]


@once_per_picture
def to_420(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y, Cb and Cr of a uint8 (height, width, 3) picture, with chroma halved in both directions.

    Three uint8 planes: (height, width) and twice (ceil(height / 2), ceil(width / 2)).
    """
    height, width, _ = rgb.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    luma = np.empty((height, width), np.uint8)
    # Chroma after the horizontal filter, with four more rows above and below for the vertical filter.
    narrow = np.empty((2, 2 * rows + 8, columns), np.int32)

    for top, bottom in strips(height, width):
        chroma = np.empty((2, bottom - top, 2 * columns + 8), np.int32)
        _ycbcr(rgb[top:bottom], luma[top:bottom], chroma[:, :, 4 : 4 + width])
        _repeat_edges(chroma.transpose(0, 2, 1), width)
        # Split into even and odd columns first: the ten taps then read contiguous memory.
        parity = [np.ascontiguousarray(chroma[:, :, start::2]) for start in (0, 1)]
        taps = [parity[k % 2][:, :, k // 2 : k // 2 + columns] for k in range(10)]
        out = narrow[:, 4 + top : 4 + bottom]
        weighted_sum(taps, HALVING, out, np.empty_like(out))
        out += 1
        out >>= 1

    _repeat_edges(narrow, height)
    small = np.empty((2, rows, columns), np.uint8)
    for top, bottom in strips(rows, columns):
        total, scratch = np.empty((2, 2, bottom - top, columns), np.int32)
        taps = [narrow[:, 2 * top + k : 2 * bottom + k - 1 : 2] for k in range(10)]
        weighted_sum(taps, HALVING, total, scratch)
        total += 1 << 12
        total >>= 13
        np.clip(total, 0, 255, out=small[:, top:bottom], casting="unsafe")
    return luma, small[0], small[1]


def _repeat_edges(planes: np.ndarray, length: int) -> None:
    """Fill axis 1 outside [4, 4 + length) with the first and the last sample inside."""
    planes[:, :4] = planes[:, 4:5]
    planes[:, 4 + length :] = planes[:, 3 + length : 4 + length]
