"""PSNR and SSIM of a crop's distorted versions: ours, with the clean half shared, against scikit-image.

Example: python benchmarks/ssim.py PICTURES
"""

import sys

from pictures import crops_of, machine, record, side_by_side
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from distort import metrics
from distort.codecs.lossless import LOSSLESS
from distort.distortion import generator, parse_list
from distort.metrics import Reference
from distort.metrics import psnr as our_psnr

crops = crops_of(sys.argv[1], 8)
distortions = parse_list("jpeg-75,jpeg-10,jpeg-5,j2k-75,j2k-200,j2k-400,webp-20,noise-20,blur-1")
distorted = [
    [d.apply(crop, LOSSLESS["webp"], generator(0, "k", d.name)).rgb for d in distortions] for crop in crops
]
SKIMAGE = {
    "uniform": {},
    "gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
}


def ours(window):
    for clean, versions in zip(crops, distorted, strict=True):
        reference = Reference(clean, window)
        for rgb in versions:
            reference.ssim(rgb)


def theirs(window):
    for clean, versions in zip(crops, distorted, strict=True):
        for rgb in versions:
            structural_similarity(clean, rgb, channel_axis=2, data_range=255, **SKIMAGE[window])


def psnr(measure):
    for clean, versions in zip(crops, distorted, strict=True):
        for rgb in versions:
            measure(clean, rgb)


compiled = "compiled" if metrics.kernel() else "not compiled: numpy does it"
print(f"{machine()}; {len(crops)} crops, {len(distortions)} distortions each; metrics.c is {compiled}")
for window in SKIMAGE:
    t = side_by_side(5, ours=lambda w=window: ours(w), theirs=lambda w=window: theirs(w))
    error = max(
        abs(
            Reference(c, window).ssim(d)
            - structural_similarity(c, d, channel_axis=2, data_range=255, **SKIMAGE[window])
        )
        for c, versions in zip(crops, distorted, strict=True)
        for d in versions
    )
    record(f"SSIM, {window} window: scikit-image / ours", [t["theirs"] / t["ours"]])
    print(
        f"SSIM {window}: {t['theirs'] / t['ours']:.1f}x faster than scikit-image, largest difference {error:.1e}"
    )
t = side_by_side(
    5,
    ours=lambda: psnr(our_psnr),
    theirs=lambda: psnr(lambda clean, rgb: peak_signal_noise_ratio(clean, rgb, data_range=255)),
)
print(f"PSNR: {t['theirs'] / t['ours']:.1f}x faster than scikit-image")
record("PSNR: scikit-image / ours", [t["theirs"] / t["ours"]])
