"""``distort measure``: metrics added to a finished dataset, resumed, verified and read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import skimage.metrics

import distort
import shards
from distort import quality
from distort.quality import DecodeTime, EncodeTime, Flip, LumaPsnr, MsSsim, Pair, Ssimulacra2, parse_metrics
from shards.access import ColumnReader
from shards.files import Files

pytestmark = pytest.mark.slow

JPEG = {"column": "jpeg-10", "extension": "jpg", "steps": [{"name": "jpeg", "settings": {}, "versions": {}}]}


@pytest.fixture(scope="module")
def measured(dataset, digests, run, tmp_path_factory) -> Path:
    """A copy of the dataset with metrics of two columns."""
    root = tmp_path_factory.mktemp("measured") / "val"
    shutil.copytree(dataset, root)
    before = digests(root)
    done = run("distort", "measure", root, "--metrics", "psnr-y,time", "--columns", "jpeg-10,noise-20",
               "--workers", 2)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "14 files of psnr-y, encode-time, decode-time written, 0 were there" in done.stdout
    assert before.items() <= digests(root).items()
    return root


@pytest.fixture(scope="module")
def pair(photographs) -> Pair:
    clean = np.ascontiguousarray(photographs["chelsea"][40:264, 100:324])
    made = distort.codecs.get("jpeg-10").roundtrip(clean)
    return Pair("cat", clean, made.rgb, made.bitstream, JPEG, 0)


def test_every_picture_of_every_shard_gets_its_value_in_new_files(measured, dataset):
    data = shards.open(measured)
    assert data.metrics("jpeg-10") == ["decode-time", "encode-time", "psnr-y"]
    assert data.metrics("webp-20") == []
    table = data.table("jpeg-10", ["key", "psnr", "psnr-y"])
    assert table["key"].equals(shards.open(dataset).table("jpeg-10", ["key"])["key"])
    assert table["psnr-y"].null_count == 0
    gains = np.asarray(table["psnr-y"]) - np.asarray(table["psnr"])
    assert (gains > 0).all()  # JPEG spends its bits on luma


def test_the_column_reader_gives_metrics_beside_the_bitstreams(measured):
    data = shards.open(measured)
    reader = ColumnReader(data, "jpeg-10", Files(data.storage), ["psnr-y"])
    table = reader.rows(1).table
    assert table["psnr-y"].to_pylist() == data.parquet("jpeg-10", 1, ["psnr-y"])[0]["psnr-y"].to_pylist()


def test_times_are_of_the_first_shard_and_say_the_machine(measured):
    files = list((measured / "jpeg-10" / "metrics" / "encode-time").iterdir())
    assert [file.name for file in files] == ["000000.parquet"]
    described = json.loads(pq.read_schema(files[0]).metadata[b"metric"])
    assert described["sampled"]
    assert "threads" in described["machine"]
    data = shards.open(measured)
    assert all(value > 0 for value in data.parquet("jpeg-10", 0, ["encode-time"])[0]["encode-time"].to_pylist())
    noise = data.parquet("noise-20", 0, ["encode-time", "decode-time"])[0].to_pylist()
    assert all(row["encode-time"] is None and row["decode-time"] > 0 for row in noise)  # noise has no codec


def test_measuring_again_only_fills_gaps_with_the_same_bytes(measured, digests):
    before = digests(measured)
    (measured / "jpeg-10" / "metrics" / "psnr-y" / "000002.parquet").unlink()
    done = distort.measure(measured, metrics=["psnr-y"], columns=["jpeg-10"], workers=1)
    assert (done.measured, done.skipped) == (1, 4)
    assert digests(measured) == before


def test_an_empty_or_repeated_column_is_refused(measured):
    with pytest.raises(ValueError, match="'jpeg-10,,webp-20' has an empty name"):
        distort.measure(measured, metrics="psnr-y", columns="jpeg-10,,webp-20")
    with pytest.raises(ValueError, match="names jpeg-10 twice"):
        distort.measure(measured, metrics="psnr-y", columns="jpeg-10,jpeg-10")


def test_verify_finds_what_is_wrong_with_a_metric(measured, tmp_path):
    assert list(shards.verify(measured)) == []
    root = tmp_path / "val"
    shutil.copytree(measured, root)
    folder = root / "jpeg-10" / "metrics"
    (folder / "psnr-y" / "000000.parquet").write_bytes((folder / "psnr-y" / "000001.parquet").read_bytes())
    (folder / "psnr-y" / "000003.parquet").write_bytes(b"PAR1")
    shutil.copy(folder / "encode-time" / "000000.parquet", folder / "psnr-y" / "000002.parquet")
    (folder / "notes.txt").write_text("mine")
    found = list(shards.verify(root))
    assert len(found) == 4
    for part in (
        "psnr-y/000000.parquet was measured on another",
        "psnr-y/000003.parquet is damaged",
        "psnr-y/000002.parquet is not the file of metric",
        "notes.txt: not the folder of a metric",
    ):
        assert any(part in line for line in found), (part, found)
    with pytest.raises(shards.DatasetError, match="measured on another version of its tar"):
        shards.open(root).table("jpeg-10", ["psnr-y"])
    assert distort.measure(root, metrics="psnr-y", columns="jpeg-10", workers=1).measured == 3
    (folder / "notes.txt").unlink()
    assert list(shards.verify(root)) == []


def test_a_metric_that_was_not_measured_names_the_command(measured):
    with pytest.raises(shards.DatasetError, match=r"'distort measure .* --metrics ms-ssim' writes it"):
        shards.open(measured).table("webp-20", ["ms-ssim"])


def test_unknown_names_and_missing_packages_are_refused_before_anything_is_read(measured, run, monkeypatch):
    done = run("distort", "measure", measured, "--metrics", "mssim")
    assert done.returncode == 2
    assert "did you mean 'ms-ssim'? there are psnr-y, ms-ssim," in done.stderr
    done = run("distort", "measure", measured, "--metrics", "psnr-y", "--columns", "jpeg-11")
    assert done.returncode == 1
    assert "has no column 'jpeg-11'" in done.stderr
    monkeypatch.setattr(Flip, "packages", ("no-such-package",))
    with pytest.raises(
        ValueError, match=r"needs the package no-such-package: pip install 'codecproof\[metrics\]'"
    ):
        parse_metrics("psnr-y,flip")
    assert "needs" not in run("distort", "measure", "--list").stderr


def test_a_metric_of_another_package_is_found(monkeypatch):
    class Mine(LumaPsnr):
        name = "mine"

    monkeypatch.setattr(quality.METRICS, "load", lambda name: {"mine": Mine}[name])
    assert [metric.name for metric in parse_metrics("mine")] == ["mine"]


def test_luma_psnr_is_that_of_scikit_image(pair):
    clean, distorted = (rgb.astype(float) @ quality.LUMA for rgb in (pair.clean, pair.distorted))
    expected = skimage.metrics.peak_signal_noise_ratio(clean, distorted, data_range=255)
    assert LumaPsnr().measure(pair) == pytest.approx(expected, abs=1e-9)
    assert LumaPsnr().measure(Pair("", pair.clean, pair.clean, b"", JPEG, 0)) is None


def test_ms_ssim_is_the_product_over_five_scales_of_the_published_weights(pair):
    """Contrast and structure by scikit-image, whose Gaussian SSIM has the same window."""
    expected = []
    for channel in range(3):
        x, y = (rgb[..., channel].astype(float) for rgb in (pair.clean, pair.distorted))
        product = 1.0
        for scale, weight in enumerate(MsSsim.WEIGHTS):
            settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
            # K1 so large that the luminance term is 1 leaves contrast and structure.
            last = scale == len(MsSsim.WEIGHTS) - 1
            settings["K1"] = 0.01 if last else 1e6
            product *= skimage.metrics.structural_similarity(x, y, **settings) ** weight
            x, y = (p.reshape(p.shape[0] // 2, 2, -1, 2).mean((1, 3)) for p in (x, y))
        expected.append(product)
    assert MsSsim().measure(pair) == pytest.approx(np.mean(expected), abs=1e-6)
    assert MsSsim().measure(Pair("", pair.clean, pair.clean, b"", JPEG, 0)) == pytest.approx(1)
    small = pair.clean[:175]
    assert MsSsim().measure(Pair("", small, small, b"", JPEG, 0)) is None


@pytest.mark.parametrize(("metric", "perfect", "range_"), [(Ssimulacra2, 100, (20, 60)), (Flip, 0, (0.08, 0.3))])
def test_metrics_of_other_packages_rank_jpeg_10_and_a_perfect_copy(pair, metric, perfect, range_):
    for package in metric.packages:
        pytest.importorskip(package.replace("-", "_"))
    assert range_[0] < metric().measure(pair) < range_[1]
    assert metric().measure(Pair("", pair.clean, pair.clean, b"", JPEG, 0)) == pytest.approx(perfect, abs=1e-6)


def test_encode_time_is_that_of_the_last_codec_of_a_chain(pair):
    column = JPEG | {"column": "noise-20+jpeg-10"}
    assert EncodeTime().measure(Pair("cat", pair.clean, pair.distorted, pair.data, column, 0)) > 0
    unknown = JPEG | {"column": "pre:small+jpeg-10"}
    assert EncodeTime().measure(Pair("cat", pair.clean, pair.distorted, pair.data, unknown, 0)) is None
    assert DecodeTime().measure(pair) > 0
