"""NAL units: the packets of an HEVC stream (HEVC clause 7.3.1 and Annex B)."""

from __future__ import annotations

START_CODE = b"\0\0\1"

VPS, SPS, PPS, SUFFIX_SEI = 32, 33, 34, 40
#: Slice types at which decoding can start: BLA, IDR and CRA (clause 7.4.2.2, Table 7-1).
INTRA_SLICES = range(16, 22)
SLICES = range(32)


def kind(unit: bytes) -> int:
    """nal_unit_type."""
    return unit[0] >> 1 & 0x3F


def split(stream: bytes) -> list[bytes]:
    """The NAL units of an Annex B byte stream, without start codes and trailing zero bytes."""
    units = stream.split(START_CODE)
    if units[0].strip(b"\0"):
        raise ValueError("not an HEVC byte stream: it does not begin with a start code")
    return [unit.rstrip(b"\0") for unit in units[1:]]


def join(units: list[bytes]) -> bytes:
    """The Annex B byte stream of ``units``, with three-byte start codes."""
    return b"".join(START_CODE + unit for unit in units)


def escape(payload: bytes) -> bytes:
    """Insert emulation prevention bytes, so that ``payload`` contains no start code (clause 7.4.2)."""
    out = bytearray()
    zeros = 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def unescape(unit: bytes) -> bytes:
    """Remove emulation prevention bytes."""
    return unit.replace(b"\0\0\3", b"\0\0")


def one_picture(units: list[bytes]) -> list[bytes]:
    """Check that ``units`` hold one single-layer intra picture, and return those that its decoder needs.

    Keeps parameter sets, slices and the suffix SEI (which may hold a checksum of the picture); drops prefix SEI,
    delimiters and filler. Raises ValueError when the stream is not exactly one intra picture.
    """
    kept = []
    first_slices = 0
    for unit in units:
        if len(unit) < 3:
            raise ValueError("the HEVC data holds an empty NAL unit")
        if unit[0] & 0x80:
            raise ValueError("the HEVC data is damaged: a NAL unit has its forbidden bit set")
        if unit[0] & 1 or unit[1] >> 3:
            raise ValueError("the HEVC data has more than one layer (an alpha plane?), which is not supported")
        if kind(unit) in SLICES:
            if kind(unit) not in INTRA_SLICES:
                raise ValueError("the HEVC data holds an inter picture: animations are not supported")
            first_slices += unit[2] >> 7
        elif kind(unit) not in (VPS, SPS, PPS, SUFFIX_SEI):
            continue
        kept.append(unit)
    if first_slices != 1:
        raise ValueError(f"the HEVC data holds {first_slices} pictures instead of one")
    return kept
