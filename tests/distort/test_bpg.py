"""BPG and HEVC as codecs: what they write, what they read back, and that bytes depend on nothing else."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from fractions import Fraction
from hashlib import sha256

import av
import numpy as np
import pytest

from distort.codecs.bpg import Bpg, Hevc, x265

pytestmark = pytest.mark.slow

CODECS = [Bpg, Hevc]


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_a_224_pixel_file_begins_as_bpgenc_writes_it(crop):
    data = Bpg(41).encode(crop)
    assert data[:6].hex() == "425047fb2000", "4:2:0 centred, 8 bit, BT.601 full range, no extensions"
    assert data[6:11].hex() == "8160816000", "224 x 224, data to the end of the file"
    assert data[11:15].hex() == "03924250", "coding blocks 8..64, transforms 4..32, depth 3, SAO, smoothing"
    assert data[15:17].hex() == "4401", "the picture parameter set, without a start code"


@pytest.mark.parametrize("codec", CODECS)
def test_a_higher_qp_is_smaller_and_worse(crop, codec):
    files = [codec(qp).encode(crop) for qp in (0, 20, 41, 46, 51)]
    quality = [psnr(codec.decode(data), crop) for data in files]
    assert sorted(map(len, files), reverse=True) == [len(data) for data in files]
    assert sorted(quality, reverse=True) == quality
    assert quality[0] > 38
    assert quality[-1] > 22


@pytest.mark.parametrize("codec", CODECS)
def test_444_keeps_the_chroma_that_420_loses(crop, codec):
    red_and_blue = np.zeros((64, 64, 3), np.uint8)
    red_and_blue[:, ::2, 0] = red_and_blue[:, 1::2, 2] = 255
    full, halved = (codec.decode(codec(4, options).encode(red_and_blue)) for options in (("444",), ()))
    assert psnr(full, red_and_blue) > 40
    assert psnr(halved, red_and_blue) < 15


def test_fast_is_another_file_and_says_so(crop):
    assert Bpg(41, ("fast",)).encode(crop) != Bpg(41).encode(crop)
    assert Bpg(41, ("fast",)).settings()["preset"] != Bpg(41).settings()["preset"] == "placebo"


def test_hevc_is_the_same_picture_with_its_parameter_sets(crop):
    bpg, hevc = Bpg(46).encode(crop), Hevc(46).encode(crop)
    assert bpg[-300:] == hevc[-300:]
    assert 40 < len(hevc) - len(bpg) < 100
    np.testing.assert_array_equal(Bpg.decode(bpg), Hevc.decode(hevc))


def test_an_hevc_stream_shows_the_same_colours_in_any_decoder(crop):
    data = Hevc(20).encode(crop)
    context = av.CodecContext.create("hevc", "r")
    frame, *_ = [*context.decode(av.Packet(data)), *context.decode(None)]
    assert psnr(frame.to_ndarray(format="rgb24"), Hevc.decode(data)) > 38


@pytest.mark.parametrize(("width", "height"), [(33, 40), (40, 33), (15, 64)])
def test_hevc_refuses_a_size_it_cannot_express(crop, width, height):
    with pytest.raises(ValueError, match=f"{width}x{height}.*bpg"):
        Hevc(41).encode(crop[:height, :width])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("options", [(), ("444",), ("fast",)])
def test_settings_and_versions_tell_how_a_file_was_made(codec, options):
    settings = json.loads(json.dumps(codec(41, options).settings()))
    assert settings["x265-params"]["qp"] == 41
    assert settings["x265-params"]["wpp"] == 1
    assert "0.85" in settings["lambda-file"]
    versions = codec(41, options).versions()
    assert versions["x265"][0].isdigit()
    assert "build" in versions["x265"]
    assert versions["av"] == av.__version__


# --- bytes depend on the picture and the settings only ---------------------------------------------------


def digest(rgb, codec=Bpg, qp=41, options=()):
    return sha256(codec(qp, options).encode(rgb)).hexdigest()


def encode_with_stock_lambda():
    """An x265 encode by somebody else in this process, who knows nothing of our lambda tables."""
    context = av.CodecContext.create("libx265", "w")
    context.width = context.height = 64
    context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
    context.options = {"x265-params": "log-level=error:pools=1"}
    return [*context.encode(av.VideoFrame(64, 64, "yuv420p")), *context.encode(None)]


def test_bytes_do_not_depend_on_what_was_encoded_before(crop):
    alone, odd = digest(crop), digest(crop[:61, :75])
    for codec in CODECS:
        for qp, options in ((51, ("fast",)), (10, ("444",))):
            codec(qp, options).encode(crop[:80, :96])
            assert digest(crop) == alone
    encode_with_stock_lambda()
    assert digest(crop) == alone
    assert digest(crop[:61, :75]) == odd
    assert digest(crop[:, ::-1]) != alone


def test_the_lambda_tables_are_loaded_for_every_encode(crop, monkeypatch):
    ours = Bpg(41).encode(crop)
    with monkeypatch.context() as patch:
        lower = [0.8 * 0.85 * 2 ** ((qp - 12) / 3) for qp in range(70)]  # about what newer versions have
        tables = [*np.sqrt(lower), *lower]
        patch.setattr(x265, "lambda_file", lambda: "\n".join(f"{value:.9g}" for value in tables).encode())
        assert len(Bpg(41).encode(crop)) > 1.03 * len(ours)
    assert Bpg(41).encode(crop) == ours


def test_bytes_do_not_depend_on_encodes_beside_them(crop):
    wanted = {qp: digest(crop, qp=qp) for qp in (30, 41, 51)}
    found = []

    def work():
        for qp in (51, 30, 41):
            found.append((qp, digest(crop, qp=qp)))
            Hevc(45, ("fast",)).encode(crop[:64, :64])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(4 * [*wanted.items()])


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_bytes_are_the_same_in_other_processes(crop, method):
    wanted = [digest(crop), digest(crop, Hevc, 51)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        jobs = [pool.apply_async(digest, (crop, codec, qp)) for codec, qp in ((Bpg, 41), (Hevc, 51)) * 3]
        assert [job.get(60) for job in jobs] == wanted * 3


def test_memoised_conversion_and_fresh_one_give_the_same_file(crop):
    assert not crop.flags.writeable
    other = np.ascontiguousarray(crop[::-1])
    for rgb in (crop, other, crop.copy(), crop[:, ::-1], crop):
        assert Bpg(46).encode(rgb) == Bpg(46).encode(np.array(rgb))


# --- a good neighbour ------------------------------------------------------------------------------------


def test_importing_the_package_loads_no_codec_library():
    code = "import sys, distort.codecs.bpg; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_coding_leaves_no_descriptor_and_no_thread_behind(crop):
    Bpg.decode(Bpg(51).encode(crop))

    def held():
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    before = held()
    for _ in range(10):
        Bpg.decode(Bpg(51).encode(crop))
    assert held() == before


def test_without_memfd_encoding_says_what_it_needs(crop, monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(OSError, match="Linux"):
        Bpg(51).encode(crop)
