"""Files that are not a complete still BPG: every one gets a reason, none a crash, a hang or made-up pixels."""

import random
import time

import numpy as np
import pytest

from distort.codecs.bpg import Bpg, Hevc, container, hevc_header, nal
from distort.codecs.bpg.bits import BitWriter, write_ue7

#: Where the picture parameter set has begun: magic 4, fields 2, sizes 1 + 1, length 1, HEVC header 1 + 3
HEADER = 13 + 2


@pytest.fixture(scope="module")
def file(crop):
    return Bpg(41).encode(crop[:70, :96])


def refused(data, reason, codec=Bpg):
    with pytest.raises(ValueError, match=reason):
        codec.decode(data)


def relabelled(file, at, *values):
    return file[:at] + bytes(values) + file[at + len(values) :]


@pytest.mark.parametrize("length", range(HEADER))
def test_a_file_cut_off_in_its_header(file, length):
    refused(file[:length], "ends|not a BPG file|cut off|empty")


def test_a_file_cut_off_anywhere_in_its_data(file):
    for length in range(HEADER, len(file) - 1, 7):
        refused(file[:length], "damaged or cut off|0 pictures|empty NAL")


@pytest.mark.parametrize(
    ("at", "values", "reason"),
    [
        (0, [0x89, 0x50, 0x4E, 0x47], "not a BPG file: the first bytes are 89 50 4e 47"),
        (4, [6 << 5], "pixel format 6 is reserved"),
        (4, [7 << 5], "pixel format 7 is reserved"),
        (4, [1 << 5 | 1 << 4], "alpha"),
        (4, [1 << 5 | 7], "bit depth of 15"),
        (4, [1 << 5 | 6], "14 bit"),
        (4, [0], "damaged"),
        (5, [5 << 4], "colour space 5 is reserved"),
        (5, [1 << 2], "alpha"),
        (5, [1], "animations"),
        (6, [0], "0x70: a side of 0"),
        (7, [0], "96x0: a side of 0"),
        (6, [0x80], "shortest form"),
        (9, [0x7F], "damaged|header|ends"),
        (10, [0xFF], "block sizes|depth|header"),
    ],
)
def test_a_header_field_that_is_not_allowed(file, at, values, reason):
    refused(relabelled(file, at, *values), reason)


@pytest.mark.parametrize("side", [1 << 31, (1 << 32) - 1, 16_889, 1 << 32, 1 << 40])
def test_a_size_beyond_all_limits_reserves_no_memory(file, side):
    wide = file[:6] + write_ue7(side) + file[7:]
    tall = file[:7] + write_ue7(side) + file[8:]
    for data in (wide, tall):
        refused(data, "limit is|more than 32 bits")


@pytest.mark.slow
def test_the_largest_size_with_little_data_is_refused_soon(file):
    start = time.perf_counter()
    refused(file[:6] + write_ue7(8192) + write_ue7(4352) + file[8:], "damaged")
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    "fields",
    [(4, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 4, 0, 0, 0), (0, 3, 1, 2, 3), (0, 3, 0, 4, 3), (0, 3, 0, 3, 5)],
)
def test_impossible_block_sizes(file, fields):
    bits = BitWriter()
    bits.ue(*fields)
    bits.u(4, 0)
    header = bytes(bits)
    refused(file[:9] + write_ue7(len(header)) + header + file[13:], "impossible")


def test_an_exponential_golomb_code_without_end(file):
    refused(file[:9] + write_ue7(40) + bytes(40) + file[13:], "32 bits")


def test_a_forbidden_hevc_tool(file):
    layout, header, data = container.read(file)
    flags = tuple(index == 4 for index in range(9))
    coding = hevc_header.read(header)._replace(range_flags=flags)
    refused(container.write(layout, hevc_header.write(coding), data), "forbids.*extended_precision")


def test_trailing_bytes_after_a_stated_length(file):
    stated = file[:8] + write_ue7(len(file) - 9) + file[9:]
    assert np.array_equal(Bpg.decode(stated), Bpg.decode(file))
    refused(stated + b"abc", "3 trailing bytes")
    refused(stated[:-3], "cut off")


def test_trailing_bytes_without_a_stated_length_never_change_the_picture(file):
    """They belong to the last NAL unit then, and a decoder stops before them."""
    for tail in (b"\0", b"abc", bytes(100), b"\xff" * 100):
        assert np.array_equal(Bpg.decode(file + tail), Bpg.decode(file))
    refused(file + nal.START_CODE + b"\x26\x01\xaf" + bytes(range(9)), "2 pictures")
    refused(file + file, "damaged|pictures|layer|forbidden")


def test_extensions_longer_than_the_file(file):
    refused(file[:5] + b"\x08" + file[6:9] + write_ue7(1 << 31) + file[9:], "cut off")


def test_an_hevc_stream_under_the_wrong_name_and_the_reverse(crop, file):
    refused(Hevc(41).encode(crop), "bare HEVC stream")
    refused(file, "start code", Hevc)


def test_parameter_sets_inside_a_bpg_file(crop, file):
    vps = nal.split(Hevc(41).encode(crop))[0]
    refused(file + nal.START_CODE + vps, "must omit")


@pytest.mark.parametrize("codec", [Bpg, Hevc])
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0\0\1", b"\0\0\1" * 50, bytes(1000), b"BPG\xfb", b"BPG\xfb\x20\0" * 9]
)
def test_no_picture_at_all(codec, data):
    refused(data, ".", codec)


def mutate(data, rng):
    """One of: flipped bits, a cut, inserted bytes, removed bytes, a changed header byte."""
    out = bytearray(data)
    at = rng.randrange(len(out))
    match rng.randrange(5):
        case 0:
            for _ in range(rng.choice((1, 1, 2, 8))):
                out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        case 1:
            del out[at:]
        case 2:
            out[at:at] = rng.randbytes(rng.randrange(1, 20))
        case 3:
            del out[at : at + rng.randrange(1, 20)]
        case _:
            out[rng.randrange(4, 16)] = rng.randrange(256)
    return bytes(out)


@pytest.mark.parametrize("codec", [Bpg, Hevc])
def test_1000_mutated_files_each_give_a_picture_or_a_reason(crop, codec):
    """Most damage is reported. Where the arithmetic decoder ends up in step again nobody can tell."""
    rng = random.Random(2024)
    files = [
        codec(qp, options).encode(crop[:height, :width])
        for qp, options, height, width in ((41, (), 64, 96), (30, ("444",), 34, 40), (51, (), 130, 70))
    ]
    reported = 0
    start = time.perf_counter()
    for _ in range(1000):
        try:
            picture = codec.decode(mutate(rng.choice(files), rng))
        except ValueError:
            reported += 1
        else:
            assert picture.dtype == np.uint8
            assert picture.ndim == 3
    assert reported > 750
    assert time.perf_counter() - start < 60
