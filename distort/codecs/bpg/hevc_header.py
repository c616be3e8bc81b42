"""The "HEVC header" of a .bpg file: the part of HEVC's VPS and SPS that it keeps.

It holds the block structure and the enabled tools; the format fixes everything else.
Sources: BPG specification 0.9.5, "hevc_header()"; HEVC (Rec. ITU-T H.265) clause 7.3.2.2, field names as there.
"""

from __future__ import annotations

from typing import NamedTuple

from distort.codecs.bpg.bits import BitReader, BitWriter


class Pcm(NamedTuple):
    """Blocks stored as plain samples."""

    luma_depth: int
    chroma_depth: int
    log2_min: int
    log2_max: int
    loop_filter_disabled: bool


#: Range-extension flags in the order of the SPS. BPG forbids those that change the arithmetic.
RANGE_FLAGS = (
    "transform_skip_rotation_enabled",
    "transform_skip_context_enabled",
    "implicit_rdpcm_enabled",
    "explicit_rdpcm_enabled",
    "extended_precision_processing",
    "intra_smoothing_disabled",
    "high_precision_offsets_enabled",
    "persistent_rice_adaptation_enabled",
    "cabac_bypass_alignment_enabled",
)
FORBIDDEN_RANGE_FLAGS = {3, 4, 6, 8}


class Coding(NamedTuple):
    """The content of a BPG file's HEVC header. Block sizes are log2 of samples."""

    log2_min_cb: int
    log2_max_cb: int
    log2_min_tb: int
    log2_max_tb: int
    depth_intra: int  #: max_transform_hierarchy_depth_intra
    sao: bool
    pcm: Pcm | None
    strong_intra_smoothing: bool
    range_flags: tuple[bool, ...] | None = None

    def check(self) -> None:
        """Raise ValueError for combinations that HEVC clause 7.4.3.2.1 or BPG forbids."""
        if not (3 <= self.log2_min_cb <= self.log2_max_cb and 4 <= self.log2_max_cb <= 6):
            raise ValueError(
                f"impossible coding block sizes: 2^{self.log2_min_cb} to 2^{self.log2_max_cb} samples"
            )
        if not 2 <= self.log2_min_tb <= self.log2_max_tb <= min(self.log2_max_cb, 5) or (
            self.log2_min_tb >= self.log2_min_cb
        ):
            raise ValueError(
                f"impossible transform block sizes: 2^{self.log2_min_tb} to 2^{self.log2_max_tb} samples"
            )
        if self.depth_intra > self.log2_max_cb - self.log2_min_tb:
            raise ValueError(f"impossible transform hierarchy depth {self.depth_intra}")
        if self.pcm and not 3 <= self.pcm.log2_min <= self.pcm.log2_max <= min(self.log2_max_cb, 5):
            raise ValueError(f"impossible PCM block sizes: 2^{self.pcm.log2_min} to 2^{self.pcm.log2_max} samples")
        for index in FORBIDDEN_RANGE_FLAGS:
            if self.range_flags and self.range_flags[index]:
                raise ValueError(f"BPG forbids the HEVC tool {RANGE_FLAGS[index]}")

    def coded(self, side: int) -> int:
        """``side`` rounded up to whole minimum coding blocks: the size of the coded picture."""
        block = 1 << self.log2_min_cb
        return (side + block - 1) // block * block


def _write_coding(bits: BitWriter, coding: Coding) -> None:
    write_blocks(bits, coding)
    bits.ue(coding.depth_intra)
    bits.u(1, coding.sao)
    write_pcm(bits, coding.pcm)
    bits.u(1, coding.strong_intra_smoothing)


def write_blocks(bits: BitWriter, coding: Coding) -> None:
    bits.ue(coding.log2_min_cb - 3, coding.log2_max_cb - coding.log2_min_cb)
    bits.ue(coding.log2_min_tb - 2, coding.log2_max_tb - coding.log2_min_tb)


def write_pcm(bits: BitWriter, pcm: Pcm | None) -> None:
    bits.u(1, pcm is not None)
    if pcm:
        bits.u(4, pcm.luma_depth - 1)
        bits.u(4, pcm.chroma_depth - 1)
        bits.ue(pcm.log2_min - 3, pcm.log2_max - pcm.log2_min)
        bits.u(1, pcm.loop_filter_disabled)


def write_extension(bits: BitWriter, range_flags: tuple[bool, ...] | None) -> None:
    bits.u(1, range_flags is not None)
    if range_flags is not None:
        bits.u(8, 0x80)  # the range extension only
        for flag in range_flags:
            bits.u(1, flag)


def read_blocks(bits: BitReader) -> tuple[int, int, int, int]:
    log2_min_cb = 3 + bits.ue()
    log2_max_cb = log2_min_cb + bits.ue()
    log2_min_tb = 2 + bits.ue()
    return log2_min_cb, log2_max_cb, log2_min_tb, log2_min_tb + bits.ue()


def read_pcm(bits: BitReader) -> Pcm | None:
    if not bits.flag():
        return None
    luma_depth, chroma_depth, log2_min = 1 + bits.u(4), 1 + bits.u(4), 3 + bits.ue()
    return Pcm(luma_depth, chroma_depth, log2_min, log2_min + bits.ue(), bits.flag())


def read_extension(bits: BitReader) -> tuple[bool, ...] | None:
    if not bits.flag():
        return None
    range_extension, others = bits.flag(), bits.u(7)
    if others:
        raise ValueError("unknown SPS extensions")
    return tuple(bits.flag() for _ in RANGE_FLAGS) if range_extension else None


def write(coding: Coding) -> bytes:
    """The HEVC header of a .bpg file, without its length."""
    bits = BitWriter()
    _write_coding(bits, coding)
    write_extension(bits, coding.range_flags)
    return bytes(bits)


def read(header: bytes) -> Coding:
    """The content of a .bpg file's HEVC header. Raises ValueError when it is invalid."""
    bits = BitReader(header)
    coding = Coding(*read_blocks(bits), bits.ue(), bits.flag(), read_pcm(bits), bits.flag(), read_extension(bits))
    coding.check()
    if bits.left > 7 or bits.u(bits.left):
        raise ValueError("the HEVC header has unexpected bits at its end")
    return coding
