"""One intra picture through libavcodec's HEVC decoder (in PyAV).

libavcodec detects damaged headers, but decodes damaged or missing slice data to arbitrary samples: past the end of
the data, its arithmetic decoder reads whatever follows. Decoding a complete slice never reads past its end.
Therefore every picture is decoded twice, with different bytes after its slices; if the two results differ, the
picture is truncated. The second decoding takes a few tenths of a millisecond.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distort.codecs.bpg import nal
from distort.codecs.bpg.container import check_size
from distort.codecs.bpg.parameter_sets import Sps

#: libavcodec's pixel format by chroma_format_idc. For 8-bit full-range streams it says "yuvj" instead of "yuv".
FORMATS = ("gray", "yuv420p", "yuv422p", "yuv444p")

BIT_DEPTHS = (8, 9, 10, 12)

#: Without "explode" libavcodec conceals errors; "crccheck" verifies the checksum in an SEI.
ERROR_DETECTION = "crccheck+bitstream+buffer+explode"

#: The bytes appended to slices in the two decodings: they hold no start code and differ in every bit.
AFTER_SLICES = b"\xaa" * 64, b"\x55" * 64

DAMAGED = "the HEVC data is damaged or cut off: "


def decode(units: list[bytes], sps: Sps, rgb: bool = False) -> list[np.ndarray]:
    """The planes of the one picture in ``units``: uint8 or uint16 arrays (height, width).

    ``sps``: the expected parameters; a picture of another size or format is refused. ``rgb``: the planes are
    green, blue and red. Raises ValueError for detectable damage: in the headers, slice data that ends too early,
    or slices that do not cover the picture.
    """
    import av

    check_size(sps.coded_width, sps.coded_height)
    if sps.bit_depth not in BIT_DEPTHS:
        raise ValueError(f"libavcodec does not decode HEVC of {sps.bit_depth} bit")
    context = av.CodecContext.create("hevc", "r")
    context.thread_count = 1
    context.options = {"err_detect": ERROR_DETECTION}
    frames = []
    try:
        for padding in AFTER_SLICES:
            padded = [unit + padding if nal.kind(unit) in nal.SLICES else unit for unit in units]
            frames += context.decode(av.Packet(nal.join(padded)))
        frames += context.decode(None)
    except (av.error.FFmpegError, MemoryError) as error:
        raise ValueError(DAMAGED + "libavcodec cannot decode it") from error
    if len(frames) != 2:
        raise ValueError(DAMAGED + "no complete picture in it")
    first, second = (_planes(frame, sps) for frame in frames)
    if not all(map(np.array_equal, first, second)):
        raise ValueError(DAMAGED + "the slices end before the picture is complete")
    if sps.chroma_format_idc and not rgb and not any(plane[-4:, -4:].any() for plane in first):
        # Samples that were not decoded are zero, and (0, 0, 0) in YCbCr or YCgCo is far outside RGB.
        raise ValueError(DAMAGED + "the slices leave out the end of the picture")
    return first


def _planes(frame: Any, sps: Sps) -> list[np.ndarray]:
    if (frame.width, frame.height) != sps.size:
        raise ValueError(
            f"the HEVC data holds {frame.width}x{frame.height} samples instead of {sps.size[0]}x{sps.size[1]}"
        )
    depth = f"{sps.bit_depth}le" if sps.bit_depth > 8 else ""
    if frame.format.name.replace("yuvj", "yuv") != FORMATS[sps.chroma_format_idc] + depth:
        raise ValueError(
            f"the HEVC data decodes to {frame.format.name} instead of {sps.bit_depth}-bit "
            f"{FORMATS[sps.chroma_format_idc]}"
        )
    dtype = "<u2" if depth else "u1"
    return [np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]
