"""One intra picture through libx265 (in PyAV), with the settings of bpgenc 0.9.8 at its slowest level.

x265 keeps its rate-distortion tables (lambda) in process-global memory: loading a file for one encode changes all
later ones. Therefore every encode loads the tables of the x265 that bpgenc was built with, so that the bytes never
depend on earlier encodes in the process.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np

from distort.codecs.base import UnsupportedPicture
from distort.codecs.bpg import nal

#: bpgenc's ``-m 9`` is x265's preset of index 9.
PRESET, FAST_PRESET = "placebo", "medium"
TUNE = "ssim"  # no psychovisual weights
INTRA_OFFSET = 3  #: x265 lowers the QP of an intra slice by this: 6 log2(ipratio) with ipratio 1.4, rounded

#: One worker thread (``pools=1``), because wavefronts (WPP) need a thread pool. bpgenc's bitstreams use WPP, which
#: resets the entropy coder in every row of blocks and costs about 2 % of the bytes at QP 51.
OPTIONS = {
    "keyint": 1,
    "total-frames": 1,
    "rect": 1,  # intra pictures use neither; but the SPS that BPG implies enables amp, and amp needs rect
    "amp": 1,
    "wpp": 1,
    "pools": 1,
    "frame-threads": 1,
    "info": 0,  # no SEI with the version and the settings
    "repeat-headers": 1,
    "annexb": 1,
    "log-level": "error",
}

#: Lambda for SATD decisions, lambda2 for RD decisions, QP 0..69, as in x265 1.8 and HM.
LAMBDA = "lambda = 2^((QP-12)/6), lambda2 = 0.85*2^((QP-12)/3)"

_opening = threading.Lock()  # x265 parses the lambda file into global tables


def lambda_file() -> bytes:
    """The two tables in the text format of x265's ``lambda-file``."""
    qps = range(70)
    tables = [2 ** ((qp - 12) / 6) for qp in qps], [0.85 * 2 ** ((qp - 12) / 3) for qp in qps]
    return "\n".join(",".join(f"{value:.12g}" for value in table) for table in tables).encode()


@contextmanager
def _lambda_path() -> Iterator[str]:
    """A path from which x265 can read ``lambda_file()``: an anonymous memory file."""
    if not hasattr(os, "memfd_create"):
        raise OSError(
            "encoding BPG and HEVC needs Linux: x265 reads its lambda tables from a path, which is a memory file "
            "(memfd_create). Decoding works everywhere"
        )
    descriptor = os.memfd_create("x265-lambda")
    try:
        os.write(descriptor, lambda_file())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def block_options(size: tuple[int, int]) -> dict[str, int]:
    """Block sizes for a picture with a side below 32: x265 needs at least one coding tree block per side."""
    if min(size) >= 32:
        return {}
    options = {"ctu": 16, "max-tu-size": 16, "tu-intra-depth": 3, "tu-inter-depth": 3}
    return options if min(size) > 8 else options | {"min-cu-size": 16}


def coded_size(width: int, height: int) -> tuple[int, int]:
    """Width and height rounded up to whole minimum coding blocks: 8 samples, or 16 where x265 needs it."""
    block = block_options((width, height)).get("min-cu-size", 8)
    return -(-width // block) * block, -(-height // block) * block


def encode(
    planes: Sequence[np.ndarray],
    size: tuple[int, int],
    pix_fmt: str,
    qp: int,
    preset: str,
    extra: dict[str, str | int] | None = None,
) -> list[bytes]:
    """The NAL units of one intra picture: VPS, SPS, PPS and a slice.

    ``planes``: Y, Cb, Cr as uint8 (height, width) arrays. ``pix_fmt``: their format in FFmpeg's terms, "yuv420p"
    or "yuv444p". ``size``: width and height of the coded picture, at least 16; the planes are extended to it by
    repeating their last column and row. ``qp``: 0 to 51, as bpgenc's -q (the slice QP is 3 lower). ``extra``: more
    x265 parameters. Raises ValueError when x265 refuses, UnsupportedPicture when the size is the reason.
    """
    import av

    context = av.CodecContext.create("libx265", "w")
    context.width, context.height = size
    context.pix_fmt = pix_fmt
    context.time_base = Fraction(1, 25)
    with _lambda_path() as path, _opening:
        parameters = {"qp": qp} | OPTIONS | block_options(planes[0].shape) | (extra or {}) | {"lambda-file": path}
        context.options = {
            "preset": preset,
            "tune": TUNE,
            "x265-params": ":".join(f"{name}={value}" for name, value in parameters.items()),
        }
        try:
            context.open()
        except av.error.FFmpegError as error:
            # Very long and narrow pictures have more rows of small blocks than x265 supports.
            kind = UnsupportedPicture if block_options(planes[0].shape) else ValueError
            raise kind(f"x265 refuses a picture of {size[0]}x{size[1]} at QP {qp}") from error
    packets = [*context.encode(_frame(planes, size, pix_fmt)), *context.encode(None)]
    return nal.split(b"".join(bytes(packet) for packet in packets))


def _frame(planes: Sequence[np.ndarray], size: tuple[int, int], pix_fmt: str) -> Any:
    """The planes as an AVFrame, extended to the right and downwards by repeating their last column and row."""
    import av

    frame = av.VideoFrame(*size, pix_fmt)
    for plane, samples in zip(frame.planes, planes, strict=True):
        height, width = samples.shape
        canvas = np.frombuffer(plane, samples.dtype).reshape(plane.height, -1)
        canvas[:height, :width] = samples
        canvas[:height, width:] = samples[:, -1:]
        canvas[height:] = canvas[height - 1]
    return frame


@functools.cache
def version() -> str:
    """Version and build of libx265, as it writes them into a stream: "4.2… (build 216)"."""
    grey = [np.full((16, 16), 128, np.uint8)] * 3
    info = b"".join(encode(grey, (16, 16), "yuv444p", 51, FAST_PRESET, {"info": 1}))
    found = re.search(rb"x265 \(build (\d+)\) - ([^ :]+)", info)
    return f"{found[2].decode()} (build {found[1].decode()})" if found else "unknown"
