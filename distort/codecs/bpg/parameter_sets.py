"""HEVC video and sequence parameter sets: written for a .bpg picture, read from an encoder's stream.

Source: HEVC (Rec. ITU-T H.265) clauses 7.3.2.1 to 7.3.3 and E.2.1, field names as there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from distort.codecs.bpg import hevc_header, nal
from distort.codecs.bpg.bits import BitReader, BitWriter
from distort.codecs.bpg.container import PIXEL_FORMATS, Layout
from distort.codecs.bpg.hevc_header import Coding


class Sps(NamedTuple):
    """A sequence parameter set. ``window``: samples that the decoder crops at the left, right, top and bottom."""

    coding: Coding
    coded_width: int
    coded_height: int
    chroma_format_idc: int
    bit_depth: int
    window: tuple[int, int, int, int] = (0, 0, 0, 0)
    full_range: bool = False
    matrix: int = 2  #: matrix_coeffs, Table E.5; 2 is "unspecified"
    chroma_location: int = 0  #: chroma_sample_loc_type, Figure E.1; 1 is centred

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the decoded picture."""
        left, right, top, bottom = self.window
        return self.coded_width - left - right, self.coded_height - top - bottom

    def layout(self, colour_space: int) -> Layout:
        """The same information as a .bpg header's ``Layout``."""
        centred = self.chroma_location == 1
        formats = [form for form in PIXEL_FORMATS if form.chroma_format_idc == self.chroma_format_idc]
        form = formats[0] if centred else formats[-1]
        return Layout(*self.size, form, self.bit_depth, colour_space, not self.full_range)


def _write_profile(bits: BitWriter, main: bool) -> None:
    """profile_tier_level: Main profile or format range extensions profile, level 6.2."""
    bits.u(8, 1 if main else 4)
    bits.u(32, 0x60000000 if main else 0x08000000)  # compatible profiles
    bits.u(4, 0b1001)  # progressive, frames only
    bits.u(44, 0)
    bits.u(8, 186)


def write_vps(main: bool) -> bytes:
    """A video parameter set for one still picture, as a NAL unit. ``main``: 8 bit and 4:2:0."""
    bits = BitWriter()
    bits.u(16, 0x0C01)  # id 0, base layer present, one layer, one sub-layer
    bits.u(16, 0xFFFF)
    _write_profile(bits, main)
    bits.u(1, 1)
    bits.ue(0, 0, 0)  # one picture buffer, no reordering
    bits.u(6, 0)
    bits.ue(0)
    bits.u(2, 0)  # no timing, no extension
    bits.stop()
    return bytes([nal.VPS << 1, 1]) + nal.escape(bytes(bits))


def write_sps(sps: Sps) -> bytes:
    """The sequence parameter set that a .bpg file implies, as a NAL unit without window and VUI."""
    coding = sps.coding
    bits = BitWriter()
    bits.u(8, 1)  # VPS 0, one sub-layer
    _write_profile(bits, main=sps.bit_depth == 8 and sps.chroma_format_idc == 1)
    bits.ue(0, sps.chroma_format_idc)
    if sps.chroma_format_idc == 3:
        bits.u(1, 0)  # no separate colour planes
    bits.ue(sps.coded_width, sps.coded_height)
    bits.u(1, 0)
    bits.ue(sps.bit_depth - 8, sps.bit_depth - 8, 4)  # 8 bits of picture order count
    bits.u(1, 1)
    bits.ue(0, 0, 0)
    hevc_header.write_blocks(bits, coding)
    bits.ue(coding.depth_intra, coding.depth_intra)
    bits.u(2, 0b01)  # no scaling lists; asymmetric partitions
    bits.u(1, coding.sao)
    hevc_header.write_pcm(bits, coding.pcm)
    bits.ue(0)
    bits.u(2, 0b01)  # no long-term pictures; temporal motion vectors
    bits.u(1, coding.strong_intra_smoothing)
    bits.u(1, 0)
    hevc_header.write_extension(bits, coding.range_flags)
    bits.stop()
    return bytes([nal.SPS << 1, 1]) + nal.escape(bytes(bits))


def read_sps(unit: bytes) -> Sps:
    """The content of a sequence parameter set NAL unit.

    Raises ValueError when it is damaged or uses unsupported features: several sub-layers, reference picture sets,
    scaling lists, separate colour planes, a hypothetical reference decoder.
    """
    bits = BitReader(nal.unescape(unit[2:]))
    bits.u(4)
    if bits.u(3):
        raise ValueError("HEVC streams with temporal sub-layers are not supported")
    bits.u(1 + 88 + 8)  # profile_tier_level
    bits.ue()  # SPS id
    chroma_format_idc = bits.ue()
    if chroma_format_idc > 3 or (chroma_format_idc == 3 and bits.flag()):
        raise ValueError("HEVC streams with separate colour planes are not supported")
    coded_width, coded_height = bits.ue(), bits.ue()
    window = [bits.ue() for _ in range(4)] if bits.flag() else [0] * 4
    unit_x, unit_y = (2 if chroma_format_idc in (1, 2) else 1), (2 if chroma_format_idc == 1 else 1)
    bit_depth = 8 + bits.ue()
    if bits.ue() != bit_depth - 8:
        raise ValueError("HEVC streams with different bit depths of luma and chroma are not supported")
    bits.ue()  # length of the picture order count
    bits.u(1)
    for _ in range(3):
        bits.ue()  # picture buffer and reordering
    blocks = hevc_header.read_blocks(bits)
    bits.ue()  # transform hierarchy depth of inter blocks
    depth_intra = bits.ue()
    if bits.flag():
        raise ValueError("HEVC streams with scaling lists are not supported")
    bits.flag()  # asymmetric partitions
    sao = bits.flag()
    pcm = hevc_header.read_pcm(bits)
    if bits.ue() or bits.flag():
        raise ValueError("HEVC streams with reference picture sets are not supported")
    bits.flag()  # temporal motion vectors
    strong = bits.flag()
    vui = _read_vui(bits) if bits.flag() else {}
    coding = Coding(*blocks, depth_intra, sao, pcm, strong, hevc_header.read_extension(bits))
    coding.check()
    left, right, top, bottom = window
    cut = (left * unit_x, right * unit_x, top * unit_y, bottom * unit_y)
    return Sps(coding, coded_width, coded_height, chroma_format_idc, bit_depth, cut, **vui)


def _read_vui(bits: BitReader) -> dict:
    """The three fields of vui_parameters that describe the samples; the others are skipped."""
    vui: dict[str, Any] = {}
    if bits.flag() and bits.u(8) == 255:
        bits.u(32)  # sample aspect ratio
    if bits.flag():
        bits.u(1)  # overscan
    if bits.flag():
        bits.u(3)
        vui["full_range"] = bits.flag()
        if bits.flag():
            bits.u(16)  # primaries and transfer
            vui["matrix"] = bits.u(8)
    if bits.flag():
        vui["chroma_location"] = bits.ue()
        bits.ue()
    bits.u(3)  # neutral chroma, fields
    if bits.flag():
        for _ in range(4):
            bits.ue()  # default display window
    if bits.flag():
        bits.u(64)  # clock
        if bits.flag():
            bits.ue()
        if bits.flag():
            raise ValueError("HEVC streams with a hypothetical reference decoder are not supported")
    if bits.flag():
        bits.u(3)
        for _ in range(5):
            bits.ue()  # bitstream restrictions
    return vui
