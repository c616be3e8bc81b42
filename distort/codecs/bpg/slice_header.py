"""The QP of an intra picture, from its picture parameter set and the header of its first slice.

Source: HEVC (Rec. ITU-T H.265) clauses 7.3.2.3 and 7.3.6.1, field names as there.
"""

from __future__ import annotations

from distort.codecs.bpg import nal
from distort.codecs.bpg.bits import BitReader
from distort.codecs.bpg.parameter_sets import Sps

INTRA = 2  #: slice_type


def read_qp(picture: bytes, pps: bytes, sps: Sps) -> int:
    """SliceQpY = 26 + init_qp_minus26 + slice_qp_delta of the first slice of an IDR picture.

    ``picture`` and ``pps`` are NAL units. Raises ValueError for other kinds of picture, and when the data ends too
    early.
    """
    bits = BitReader(nal.unescape(pps[2:]))
    bits.ue()  # PPS id
    bits.ue()  # SPS id
    bits.u(1)  # dependent_slice_segments_enabled_flag
    output_flag_present = bits.flag()
    extra_slice_header_bits = bits.u(3)
    bits.u(2)  # sign_data_hiding_enabled_flag, cabac_init_present_flag
    bits.ue()  # num_ref_idx_l0_default_active_minus1
    bits.ue()  # num_ref_idx_l1_default_active_minus1
    init_qp = 26 + _signed(bits.ue())

    bits = BitReader(nal.unescape(picture[2:66]))  # the QP is among the first bytes
    if nal.kind(picture) not in (19, 20) or not bits.flag():  # IDR_W_RADL, IDR_N_LP
        raise ValueError("the HEVC data does not begin with the first slice of an IDR picture")
    bits.u(1)  # no_output_of_prior_pics_flag
    bits.ue()  # PPS id
    bits.u(extra_slice_header_bits)
    if bits.ue() != INTRA:
        raise ValueError("the HEVC data holds a slice that is not intra")
    if output_flag_present:
        bits.u(1)
    if sps.coding.sao:
        bits.u(1 if sps.chroma_format_idc == 0 else 2)  # slice_sao_luma_flag, slice_sao_chroma_flag
    return init_qp + _signed(bits.ue())


def _signed(code: int) -> int:
    """The se(v) value of a ue(v) code: 0, 1, -1, 2, -2, … (clause 9.2.2)."""
    return (code + 1) // 2 if code % 2 else -(code // 2)
