"""Bytes, PSNR, SSIM and time of BPG on a folder of pictures, and the share of the colour conversion.

    python benchmarks/bpg.py FOLDER [--count 200] [--options fast] [--codec hevc]

Takes COUNT pictures spread evenly over the sorted files below FOLDER, decodes each to RGB, crops it to 224x224
(shorter side resized to 256 if it is not 224x224 already) and encodes it at QP 41, 46 and 51 in one process, as
a worker does. PSNR is over RGB, SSIM is scikit-image's mean over the channels. Times are per picture.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

from distort.codecs.bpg import Bpg, Hevc, codec

QPS = (41, 46, 51)
SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm"}


class Clock:
    """Total time in a wrapped function."""

    def __init__(self, function):
        self.function = function
        self.seconds = 0.0

    def __call__(self, *arguments, **options):
        start = time.perf_counter()
        try:
            return self.function(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - start


def crop(path: Path) -> np.ndarray:
    """A read-only uint8 (224, 224, 3) picture."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    if picture.size != (224, 224):
        scale = 256 / min(picture.size)
        picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BILINEAR)
        left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
        picture = picture.crop((left, top, left + 224, top + 224))
    rgb = np.array(picture)
    rgb.flags.writeable = False
    return rgb


def measure(paths: list[Path], make: type, options: tuple[str, ...]) -> None:
    forward = "to_444" if "444" in options else "to_420"
    colour = Clock(getattr(codec, forward)), Clock(codec.to_rgb)
    setattr(codec, forward, colour[0])
    codec.to_rgb = colour[1]
    results = {qp: defaultdict(list) for qp in QPS}
    make(51, options).encode(crop(paths[0]))  # libraries are loaded now

    for path in paths:
        for qp in QPS:
            # A picture of its own for each QP: the conversion is not shared, and its full cost is counted.
            rgb = crop(path)
            before = sum(clock.seconds for clock in colour)
            start = time.perf_counter()
            data = make(qp, options).encode(rgb)
            encoded = time.perf_counter()
            decoded = make.decode(data)
            end = time.perf_counter()
            row = results[qp]
            row["bytes"].append(len(data))
            row["PSNR"].append(10 * np.log10(255**2 / np.mean((decoded.astype(float) - rgb) ** 2)))
            row["SSIM"].append(structural_similarity(rgb, decoded, channel_axis=2))
            row["encode"].append(1e3 * (encoded - start))
            row["decode"].append(1e3 * (end - encoded))
            row["colour"].append(1e3 * (sum(clock.seconds for clock in colour) - before))

    print(f"{make.name} {' '.join(options)}: {len(paths)} pictures, {make(51).versions()}")
    print(" QP    bytes  PSNR dB    SSIM  encode ms  decode ms  colour ms  share")
    for qp, row in results.items():
        mean = {name: statistics.mean(values) for name, values in row.items()}
        share = mean["colour"] / (mean["encode"] + mean["decode"])
        print(
            f"{qp:3} {mean['bytes']:8.1f} {mean['PSNR']:8.2f} {mean['SSIM']:7.4f} {mean['encode']:10.2f} "
            f"{mean['decode']:10.2f} {mean['colour']:10.2f} {share:6.1%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200, help="pictures (default: %(default)s)")
    parser.add_argument("--codec", choices=["bpg", "hevc"], default="bpg")
    parser.add_argument("--options", default="", help="of the codec, separated by commas: 444, fast")
    arguments = parser.parse_args()

    paths = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        parser.error(f"no pictures below {arguments.folder}")
    step = max(1, len(paths) // arguments.count)
    options = tuple(filter(None, arguments.options.split(",")))
    measure(paths[::step][: arguments.count], {"bpg": Bpg, "hevc": Hevc}[arguments.codec], options)


if __name__ == "__main__":
    main()
