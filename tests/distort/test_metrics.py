"""PSNR and SSIM are scikit-image's, on any pair of pictures, compiled or not."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from distort import metrics
from distort.codecs.lossless import LOSSLESS
from distort.distortion import generator, parse
from distort.metrics import Reference

SKIMAGE = {
    "uniform": {},
    "gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """``metrics.c``, built as installing the package builds it."""
    if not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("no C compiler")
    root = Path(metrics.__file__).parents[1]
    folder = tmp_path_factory.mktemp("build")
    for name in ("setup.py", "distort/metrics.c"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, folder / name)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return metrics.load(folder / "distort")


@pytest.fixture(params=["compiled", "numpy"])
def either(request, monkeypatch):
    """The compiled metrics, then numpy's."""
    library = request.getfixturevalue("compiled") if request.param == "compiled" else None
    assert (library is None) == (request.param == "numpy")
    monkeypatch.setattr(metrics, "kernel", lambda: library)


def pairs(crop):
    rng = np.random.default_rng(0)

    def uniform(low, high, shape):
        return rng.integers(low, high, shape, dtype=np.uint8)

    for name in ("jpeg-75", "jpeg-5", "j2k-400", "noise-20", "blur-1"):
        yield crop, parse(name).apply(crop, LOSSLESS["webp"], generator(0, "k", name)).rgb
    black, white = np.zeros((40, 37, 3), np.uint8), np.full((40, 37, 3), 255, np.uint8)
    yield black, white
    yield white, white - 1
    yield black, uniform(0, 2, black.shape)
    yield uniform(254, 256, black.shape), uniform(254, 256, black.shape)
    yield uniform(0, 256, (11, 11, 3)), uniform(0, 256, (11, 11, 3))
    yield uniform(0, 2, (64, 200, 3)) * 255, uniform(0, 2, (64, 200, 3)) * 255
    yield uniform(0, 256, (70, 300, 3)), crop[:70].repeat(2, axis=1)[:, :300]
    yield crop, 255 - crop


@pytest.mark.parametrize("window", SKIMAGE)
def test_ssim_equals_scikit_image(crop, window, either):
    for clean, distorted in pairs(crop):
        expected = structural_similarity(clean, distorted, channel_axis=2, data_range=255, **SKIMAGE[window])
        assert Reference(clean, window).ssim(distorted) == pytest.approx(expected, abs=1e-6)


def test_compiled_and_numpy_agree_in_every_bit_so_a_compiler_changes_no_file(crop, compiled, monkeypatch):
    wide = np.tile(crop[:80], (1, 30, 1))
    for clean, distorted in [*pairs(crop), (wide, 255 - wide), (crop[:, ::2], crop[::1, 1::2]), (crop, crop)]:
        values = []
        for library in (compiled, None):
            monkeypatch.setattr(metrics, "kernel", lambda library=library: library)
            reference = Reference(clean)
            values.append((reference.ssim(distorted), reference.psnr(distorted)))
        assert values[0] == values[1]


def test_psnr_equals_scikit_image(crop, either):
    for clean, distorted in pairs(crop):
        expected = peak_signal_noise_ratio(clean, distorted, data_range=255)
        assert Reference(clean).psnr(distorted) == pytest.approx(expected, abs=1e-9)


def test_identical_pictures_have_infinite_psnr_and_ssim_one(crop, either):
    assert Reference(crop).psnr(crop.copy()) == math.inf
    assert Reference(crop).ssim(crop.copy()) == pytest.approx(1, abs=1e-6)


def test_a_picture_smaller_than_the_window_has_no_ssim(either):
    tiny = np.zeros((6, 100, 3), np.uint8)
    assert Reference(tiny).ssim(tiny) is None
    assert Reference(np.zeros((10, 100, 3), np.uint8), "gaussian").ssim(np.zeros((10, 100, 3), np.uint8)) is None


def test_pictures_of_different_size_are_refused(crop):
    with pytest.raises(ValueError, match="shape"):
        Reference(crop).psnr(crop[:100])
    with pytest.raises(ValueError, match="pictures are uint8"):
        Reference(crop).ssim(crop.astype(np.float32))
