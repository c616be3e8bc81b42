"""The codecs ``bpg`` and ``hevc``: the same intra picture as a .bpg file and as a bare HEVC stream."""

from __future__ import annotations

from typing import Any

import numpy as np

from distort.codecs.base import Codec, UnsupportedPicture
from distort.codecs.bpg import container, hevc_header, libav, nal, parameter_sets, slice_header, x265
from distort.codecs.bpg.container import (
    PIXEL_FORMATS,
    RGB,
    YCBCR_601,
    YCBCR_709,
    YCBCR_2020,
    YCGCO,
    Layout,
)
from distort.codecs.bpg.parameter_sets import Sps
from distort.codecs.bpg.rgb_to_ycbcr import to_420, to_444
from distort.codecs.bpg.ycbcr_to_rgb import to_rgb

#: matrix_coeffs (HEVC Table E.5) -> the colour space of the same name in a .bpg file.
COLOUR_SPACES = {1: YCBCR_709, 2: YCBCR_601, 5: YCBCR_601, 6: YCBCR_601, 8: YCGCO, 9: YCBCR_2020}


class _Intra(Codec):
    """Shared by both codecs: everything but the bytes around the slice."""

    parameter = "QP"
    low, high = 0, 51
    higher_is_better = False
    options = {
        "444": "chroma at full resolution",
        "fast": f"x265's {x265.FAST_PRESET} preset: not the files of bpgenc -m 9, and larger ones",
    }
    signalling: dict[str, str | int] = {}  #: x265 parameters that only change the SPS

    def settings(self) -> dict[str, Any]:
        return {
            "preset": x265.FAST_PRESET if "fast" in self.chosen else x265.PRESET,
            "tune": x265.TUNE,
            "x265-params": {"qp": int(self.value)} | x265.OPTIONS | self.signalling,
            "lambda-file": x265.LAMBDA,
            "colour": "YCbCr BT.601, full range, 8 bit",
            "chroma": "4:4:4" if "444" in self.chosen else "4:2:0 centred, 10-tap filter",
        }

    def versions(self) -> dict[str, str]:
        import av

        avcodec = ".".join(map(str, av.library_versions["libavcodec"]))
        return {"x265": x265.version(), "libavcodec": avcodec, "av": av.__version__}

    def check_size(self, width: int, height: int) -> None:
        try:
            container.check_size(width, height)
        except ValueError as error:
            raise UnsupportedPicture(f"{self.name}: {error}") from None

    @staticmethod
    def _value_of(units: list[bytes], sps: Sps) -> float:
        """QP as bpgenc's -q counts it. x265 lowers it by 3 for the slice, to at least 0: 0 to 3 all read as 3."""
        pictures = [unit for unit in units if nal.kind(unit) in nal.INTRA_SLICES]
        sets = [unit for unit in units if nal.kind(unit) == nal.PPS]
        if not pictures or len(sets) != 1:
            raise ValueError("the HEVC data has no intra slice, or not exactly one picture parameter set")
        return min(slice_header.read_qp(pictures[0], sets[0], sps) + x265.INTRA_OFFSET, 51)

    def _units(self, rgb: np.ndarray, size: tuple[int, int]) -> list[bytes]:
        """VPS, SPS, PPS and slice of a picture whose coded size is ``size`` (width, height)."""
        convert, pix_fmt = (to_444, "yuv444p") if "444" in self.chosen else (to_420, "yuv420p")
        preset = x265.FAST_PRESET if "fast" in self.chosen else x265.PRESET
        units = x265.encode(convert(rgb), size, pix_fmt, int(self.value), preset, self.signalling)
        kinds = [nal.kind(unit) for unit in units]
        if kinds[:3] != [nal.VPS, nal.SPS, nal.PPS] or len(units) != 4 or kinds[3] not in nal.INTRA_SLICES:
            raise RuntimeError(f"x265 wrote the NAL unit types {kinds} instead of VPS, SPS, PPS and a slice")
        return units


class Bpg(_Intra):
    """BPG with the settings of ``bpgenc -m 9 -b 8 -c ycbcr -q QP -f 420``."""

    name = "bpg"
    extension = "bpg"
    signature = rb"BPG\xfb"
    meaning = "QP, as bpgenc's -q; libx265 with the settings of bpgenc -m 9; YCbCr 4:2:0"
    example = "bpg-41"
    title = "BPG"
    colour = ("#007f5f", "#35b893")
    marker = "^"

    def encode(self, rgb: np.ndarray) -> bytes:
        height, width, _ = rgb.shape
        self.check_size(width, height)
        size = x265.coded_size(width, height)
        _, sps_unit, pps, picture = self._units(rgb, size)

        sps = parameter_sets.read_sps(sps_unit)
        coded = sps.coding.coded(width), sps.coding.coded(height)
        if (sps.coded_width, sps.coded_height) != coded or sps.bit_depth != 8:
            raise RuntimeError(f"x265 wrote an SPS that BPG cannot express: {sps}")
        layout = Layout(width, height, PIXEL_FORMATS[3 if "444" in self.chosen else 1])
        data = pps + nal.START_CODE + picture  # BPG omits the first start code
        return container.write(layout, hevc_header.write(sps.coding), data)

    @staticmethod
    def read_value(data: bytes) -> float | None:
        layout, header, hevc = container.read(bytes(data))
        sps = Bpg._sps(layout, header)
        return Bpg._value_of(nal.split(nal.START_CODE + hevc), sps)

    @staticmethod
    def _sps(layout: Layout, header: bytes) -> Sps:
        """The sequence parameter set that a .bpg header implies."""
        coding = hevc_header.read(header)
        coded = coding.coded(layout.width), coding.coded(layout.height)
        return Sps(coding, *coded, layout.pixel_format.chroma_format_idc, layout.bit_depth)

    @staticmethod
    def decode(data: bytes) -> np.ndarray:
        """The uint8 (height, width, 3) picture in a still .bpg file without alpha.

        Any pixel format and colour space, and the bit depths that libavcodec decodes: 8, 9, 10 and 12. Samples of
        more than 8 bits are scaled to 8. Raises ValueError when the file is damaged or unsupported.
        """
        layout, header, hevc = container.read(bytes(data))
        sps = Bpg._sps(layout, header)
        units = nal.one_picture(nal.split(nal.START_CODE + hevc))
        if {nal.VPS, nal.SPS} & {nal.kind(unit) for unit in units}:
            raise ValueError("the HEVC data holds a VPS or SPS, which a BPG file must omit")
        vps = parameter_sets.write_vps(main=sps.chroma_format_idc == 1 and layout.bit_depth == 8)
        units = [vps, parameter_sets.write_sps(sps), *units]
        return to_rgb(libav.decode(units, sps, rgb=layout.colour_space == RGB), layout)


class Hevc(_Intra):
    """The intra picture of ``bpg`` as plain HEVC: an Annex B byte stream with all its parameter sets."""

    name = "hevc"
    extension = "hevc"
    signature = rb"\x00?\x00\x00\x01\x40\x01"  # a start code and a video parameter set
    meaning = "QP, as for bpg; the same picture as a bare HEVC stream with its parameter sets"
    example = "hevc-41"
    title = "HEVC"
    colour = ("#4d7c0f", "#98c04a")
    marker = "v"

    #: What a .bpg header says about the samples, written into the VUI (HEVC Tables E.3 to E.5).
    signalling = {
        "range": "full",
        "colorprim": "bt709",
        "transfer": "iec61966-2-1",
        "colormatrix": "bt470bg",
        "chromaloc": 1,
    }

    def check_size(self, width: int, height: int) -> None:
        super().check_size(width, height)
        if min(width, height) < 16:
            raise UnsupportedPicture(
                f"x265 does not encode {width}x{height}: each side needs 16 pixels; use bpg instead"
            )
        if "444" not in self.chosen and (width % 2 or height % 2):
            raise UnsupportedPicture(
                f"HEVC cannot express {width}x{height} in 4:2:0: use an even size, hevc-{self.value}:444 or bpg"
            )

    def encode(self, rgb: np.ndarray) -> bytes:
        height, width, _ = rgb.shape
        self.check_size(width, height)
        return b"".join(b"\0" + nal.START_CODE + unit for unit in self._units(rgb, (width, height)))

    @staticmethod
    def read_value(data: bytes) -> float | None:
        units = nal.split(bytes(data))
        sets = [unit for unit in units if nal.kind(unit) == nal.SPS]
        if len(sets) != 1:
            raise ValueError(f"the stream has {len(sets)} sequence parameter sets instead of one")
        return Hevc._value_of(units, parameter_sets.read_sps(sets[0]))

    @staticmethod
    def decode(data: bytes) -> np.ndarray:
        """The uint8 (height, width, 3) picture in an HEVC stream of one intra picture.

        The VUI gives the colour space; without a VUI it is BT.601, limited range, as HEVC decoders assume.
        Raises ValueError when the stream is damaged or unsupported.
        """
        units = nal.one_picture(nal.split(bytes(data)))
        sets = [unit for unit in units if nal.kind(unit) == nal.SPS]
        if len(sets) != 1:
            raise ValueError(f"the stream has {len(sets)} sequence parameter sets instead of one")
        sps = parameter_sets.read_sps(sets[0])
        if sps.matrix not in COLOUR_SPACES:
            raise ValueError(f"HEVC streams with matrix_coeffs {sps.matrix} are not supported")
        planes = libav.decode(units, sps)
        return to_rgb(planes, sps.layout(COLOUR_SPACES[sps.matrix]))
