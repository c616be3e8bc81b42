"""Formats for the clean crops: bytes, encode and decode time, as ratios to PNG level 6 in the same run.

Example: python benchmarks/lossless.py PICTURES
"""

import io
import sys

import imagecodecs
import numpy as np
from pictures import crops_of, machine, side_by_side
from PIL import Image

crops = crops_of(sys.argv[1], 60)


def webp(**settings):
    def encode(rgb):
        file = io.BytesIO()
        Image.fromarray(rgb).save(file, "WEBP", lossless=True, exact=True, **settings)
        return file.getvalue()

    return encode, imagecodecs.webp_decode


def jxl(effort):
    return lambda rgb: imagecodecs.jpegxl_encode(
        rgb, lossless=True, effort=effort, numthreads=1
    ), lambda data: imagecodecs.jpegxl_decode(data, numthreads=1)


FORMATS = {
    "PNG level 6": (lambda rgb: imagecodecs.png_encode(rgb, level=6), imagecodecs.png_decode),
    "PNG level 1": (lambda rgb: imagecodecs.png_encode(rgb, level=1), imagecodecs.png_decode),
    "QOI": (imagecodecs.qoi_encode, imagecodecs.qoi_decode),
    "JPEG-LS": (imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
    "JPEG XL effort 1": jxl(1),
    "JPEG XL effort 3": jxl(3),
    "WebP method 0": webp(method=0, quality=0),
    "WebP method 1": webp(method=1, quality=0),
    "WebP method 4": webp(method=4, quality=80),
}
files = {name: [encode(rgb) for rgb in crops] for name, (encode, _) in FORMATS.items()}
for name, (_, decode) in FORMATS.items():
    assert all(np.array_equal(decode(f), rgb) for f, rgb in zip(files[name], crops, strict=True)), name
encode = side_by_side(3, **{name: lambda e=e: [e(rgb) for rgb in crops] for name, (e, _) in FORMATS.items()})
decode = side_by_side(
    5, **{name: lambda d=d, n=name: [d(f) for f in files[n]] for name, (_, d) in FORMATS.items()}
)
sizes = {name: sum(map(len, made)) for name, made in files.items()}
base = "PNG level 6"
print(f"{machine()}; {len(crops)} crops of 224x224; ratios to {base} ({sizes[base] / len(crops) / 1e3:.1f} kB)\n")
print("| format | bytes | encode | decode | write, read once | write, read 45 times |\n|---|---|---|---|---|---|")
for name in FORMATS:
    once, epochs = (
        (encode[name] + reads * decode[name]) / (encode[base] + reads * decode[base]) for reads in (1, 45)
    )
    print(
        f"| {name} | {sizes[name] / sizes[base]:.2f} | {encode[name] / encode[base]:.2f} "
        f"| {decode[name] / decode[base]:.2f} | {once:.2f} | {epochs:.2f} |"
    )
