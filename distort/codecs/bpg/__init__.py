"""BPG and HEVC intra pictures, read and written in process with PyAV's libx265 and HEVC decoder.

container.py       the .bpg file around the picture
hevc_header.py     the file's short form of the HEVC parameter sets
parameter_sets.py  VPS and SPS: written from that header, read from an encoder's stream
slice_header.py    the QP of a slice
nal.py             NAL units of an Annex B stream
bits.py            bit fields, Exp-Golomb codes, ue7
rgb_to_ycbcr.py    RGB -> YCbCr planes
ycbcr_to_rgb.py    planes -> RGB
x265.py            planes -> NAL units
libav.py           NAL units -> planes
"""

from distort.codecs.bpg.codec import Bpg, Hevc

__all__ = ["Bpg", "Hevc"]
