"""The .bpg file: a short header, skippable extensions, one HEVC header and the HEVC data.

Source: BPG specification 0.9.5, sections "heic_file" to "hevc_header_and_data".
"""

from __future__ import annotations

from typing import NamedTuple

from distort.codecs.bpg.bits import read_ue7, write_ue7

MAGIC = b"BPG\xfb"

#: The largest luma picture of HEVC level 6.2 (clause A.4.1, Table A.8), 8192 x 4352. A few bytes of
#: header can claim any size, so the size is checked before memory is allocated.
MAX_PIXELS = 35_651_584
#: The longest side that this level allows: sqrt(8 x MAX_PIXELS).
MAX_SIDE = 16_888

YCBCR_601, RGB, YCGCO, YCBCR_709, YCBCR_2020 = range(5)


class PixelFormat(NamedTuple):
    """How chroma is sampled."""

    name: str
    chroma_format_idc: int  #: HEVC Table 6-1: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4
    centred: bool = False  #: chroma lies between two luma samples of a row (JPEG), not on the first (MPEG-2)


#: Indexed by the header field pixel_format; 6 and 7 are reserved.
PIXEL_FORMATS = (
    PixelFormat("grey", 0),
    PixelFormat("4:2:0", 1, centred=True),
    PixelFormat("4:2:2", 2, centred=True),
    PixelFormat("4:4:4", 3),
    PixelFormat("4:2:0 MPEG-2", 1),
    PixelFormat("4:2:2 MPEG-2", 2),
)
COLOUR_SPACES = ("YCbCr BT.601", "RGB", "YCgCo", "YCbCr BT.709", "YCbCr BT.2020")


class Layout(NamedTuple):
    """How to interpret the planes of a picture: the header fields that ``to_rgb`` needs."""

    width: int
    height: int
    pixel_format: PixelFormat
    bit_depth: int = 8
    colour_space: int = YCBCR_601
    limited_range: bool = False

    @property
    def chroma_size(self) -> tuple[int, int]:
        """Width and height of a chroma plane; (0, 0) for grey."""
        idc = self.pixel_format.chroma_format_idc
        if idc == 0:
            return 0, 0
        return (self.width + 1) // 2 if idc < 3 else self.width, (
            self.height + 1
        ) // 2 if idc == 1 else self.height


def check_size(width: int, height: int) -> None:
    """Raise ValueError for an empty picture, and for one larger than HEVC level 6.2 allows."""
    if width == 0 or height == 0:
        raise ValueError(f"the picture is {width}x{height}: a side of 0 is not allowed")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ValueError(
            f"the picture is {width}x{height}: the limit is {MAX_PIXELS} pixels and {MAX_SIDE} per side "
            "(HEVC level 6.2)"
        )


def write(layout: Layout, hevc_header: bytes, hevc_data: bytes) -> bytes:
    """A complete .bpg file without extensions. As in bpgenc's files, the data runs to the end of the file."""
    fields = bytes(
        [
            PIXEL_FORMATS.index(layout.pixel_format) << 5 | layout.bit_depth - 8,
            layout.colour_space << 4 | layout.limited_range << 1,
        ]
    )
    sizes = write_ue7(layout.width) + write_ue7(layout.height) + write_ue7(0)
    return MAGIC + fields + sizes + write_ue7(len(hevc_header)) + hevc_header + hevc_data


def read(data: bytes) -> tuple[Layout, bytes, bytes]:
    """Layout, HEVC header and HEVC data of a still .bpg file without alpha.

    Raises ValueError, with the reason, for any other data.
    """
    if data[:4] != MAGIC:
        kind = ": it looks like a bare HEVC stream (.hevc)" if data[:3] in (b"\0\0\1", b"\0\0\0") else ""
        raise ValueError(f"not a BPG file: the first bytes are {data[:4].hex(' ') or 'missing'}{kind}")
    if len(data) < 6:
        raise ValueError("the file ends in the BPG header")
    pixel_format, alpha1, bit_depth = data[4] >> 5, data[4] >> 4 & 1, 8 + (data[4] & 15)
    colour_space, extensions, alpha2 = data[5] >> 4, data[5] >> 3 & 1, data[5] >> 2 & 1
    limited_range, animation = data[5] >> 1 & 1, data[5] & 1

    if pixel_format >= len(PIXEL_FORMATS):
        raise ValueError(f"pixel format {pixel_format} is reserved")
    if bit_depth > 14:
        raise ValueError(f"a bit depth of {bit_depth} is not allowed in BPG (8 to 14)")
    if colour_space >= len(COLOUR_SPACES):
        raise ValueError(f"colour space {colour_space} is reserved")
    if pixel_format == 0 and colour_space:
        raise ValueError(f"a grey picture cannot have the colour space {COLOUR_SPACES[colour_space]}")
    if alpha1 or alpha2:
        raise ValueError("pictures with an alpha or a fourth (CMYK) plane are not supported")
    if animation:
        raise ValueError("animations are not supported, only still pictures")

    width, at = read_ue7(data, 6, "the picture width")
    height, at = read_ue7(data, at, "the picture height")
    check_size(width, height)
    data_length, at = read_ue7(data, at, "the picture data length")
    if extensions:
        length, at = read_ue7(data, at, "the length of the extensions")
        at += length  # Exif, ICC, XMP and thumbnail say nothing about the samples
    end = at + data_length if data_length else len(data)
    if at > len(data) or end > len(data):
        raise ValueError(f"the file is cut off: {len(data)} bytes instead of {max(at, end)}")
    if end < len(data):
        raise ValueError(f"{len(data) - end} trailing bytes after the picture data")

    length, at = read_ue7(data, at, "the length of the HEVC header")
    if at + length >= len(data):
        raise ValueError("the file ends before the HEVC data")
    layout = Layout(width, height, PIXEL_FORMATS[pixel_format], bit_depth, colour_space, bool(limited_range))
    return layout, data[at : at + length], data[at + length :]
