"""Codec and quality are read from the bitstream's own headers."""

import numpy as np
import pytest
from PIL import Image

from distort import codecs, grammar
from distort.codecs.bpg import Bpg, Hevc
from distort.codecs.headers import read_header
from distort.codecs.jpeg import Jpeg, _quality_of
from distort.codecs.jpeg2000 import Jpeg2000
from distort.codecs.lossless import LOSSLESS


def test_every_jpeg_quality_is_known_by_its_table(crop):
    assert len(_quality_of()) == 100
    for quality in range(1, 101):
        assert Jpeg.read_value(Jpeg(quality).encode(crop)) == quality


@pytest.mark.parametrize("options", [("444",), ("optimize",), ("422", "optimize")])
def test_options_do_not_hide_the_quality(crop, options):
    assert Jpeg.read_value(Jpeg(37, options).encode(crop)) == 37


def test_tables_that_libjpeg_does_not_make_are_of_no_quality(crop, tmp_path):
    Image.fromarray(crop).save(tmp_path / "a.jpg", qtables=[[7] * 64, [9] * 64])
    assert Jpeg.read_value((tmp_path / "a.jpg").read_bytes()) is None


@pytest.mark.parametrize("qp", [*range(3, 52, 6), 46, 50, 51])
@pytest.mark.parametrize("codec", [Bpg, Hevc])
def test_the_qp_of_bpg_and_hevc_is_in_the_slice_header(crop, codec, qp):
    picture = np.ascontiguousarray(crop[:64, :64])
    assert codec.read_value(codec(qp, ("fast",)).encode(picture)) == qp


@pytest.mark.parametrize("options", [(), ("444",)])
def test_settings_do_not_hide_the_qp(crop, options):
    assert Bpg.read_value(Bpg(41, options).encode(crop[:64, :64])) == 41


@pytest.mark.parametrize("ratio", [20, 75, 200, 400])
def test_jpeg_2000_tells_its_ratio_within_a_few_percent(crop, ratio):
    assert Jpeg2000.read_value(Jpeg2000(ratio).encode(crop)) == pytest.approx(ratio, rel=0.05)


def test_other_formats_do_not_tell(crop):
    for name in ("webp", "avif", "jxl"):
        step = codecs.load(name)
        assert step.read_value(step(50).encode(crop)) is None


@pytest.mark.parametrize("codec", [Jpeg, Jpeg2000, Bpg, Hevc])
@pytest.mark.parametrize("data", [b"", b"nonsense", b"\xff\xd8\xff\xdb\x00"])
def test_other_bytes_are_refused(codec, data):
    with pytest.raises(ValueError, match=r"JPEG|JP2|BPG|HEVC|parameter sets"):
        codec.read_value(data)


@pytest.mark.parametrize("name", ["jpeg-10", "jpeg-75:444", "bpg-41:fast", "hevc-46:fast", "noise-20+jpeg-5"])
def test_the_bitstream_alone_says_codec_and_quality(crop, name):
    step = grammar.split(name)[-1]
    assert read_header(codecs.get(name).roundtrip(crop).bitstream) == (step.name, float(step.value))


@pytest.mark.parametrize("name", ["webp", "avif", "jxl"])
def test_of_formats_that_do_not_tell_the_codec_is_known(crop, name):
    assert read_header(codecs.get(f"{name}-30").roundtrip(crop).bitstream) == (name, None)


@pytest.mark.parametrize("store", ["png", "webp"])
def test_a_lossless_file_is_known_to_be_one(crop, store):
    assert read_header(LOSSLESS[store].encode(crop)) == ("lossless", None)


@pytest.mark.parametrize("data", [b"", b"nonsense"])
def test_what_no_codec_writes_is_refused(data):
    with pytest.raises(ValueError, match="no installed codec knows a bitstream that begins with"):
        read_header(data)
