import shutil

import numpy as np
import pytest

import distort
from report import api, gather, page
from shards.dataset import Dataset
from shards.errors import DatasetError


@pytest.fixture(scope="module")
def rows(curves):
    return {row["distortion"]: row for row in gather.measured([Dataset(curves)]).to_pylist()}


def test_means_and_spreads_are_those_of_the_parquet_files(curves, rows):
    table = Dataset(curves).table("jpeg-10")
    for name in ("bytes", "bpp", "psnr", "ssim"):
        values = table[name].to_numpy()
        assert rows["jpeg-10"][f"{name}_mean"] == pytest.approx(values.mean())
        assert rows["jpeg-10"][f"{name}_std"] == pytest.approx(values.std())


def test_mse_is_averaged_over_pictures_not_computed_from_the_mean_psnr(curves, rows):
    dataset = Dataset(curves)
    errors = []
    for _, _, clean, jpeg in dataset.read("clean", "jpeg-10"):
        from distort.codecs import decode

        a, b = decode(clean.data, clean.extension), decode(jpeg.data, jpeg.extension)
        errors.append(np.mean((a.astype(float) - b) ** 2))
    assert rows["jpeg-10"]["mse_mean"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_identical_pictures_have_no_finite_psnr_and_an_mse_of_zero(rows):
    assert rows["j2k-1"]["identical"] == rows["j2k-1"]["samples"]
    assert rows["j2k-1"]["psnr_mean"] is None
    assert rows["j2k-1"]["mse_mean"] == 0


def test_what_has_no_bitstream_has_no_rate(rows):
    assert rows["noise-20"]["bytes_mean"] is None
    assert rows["noise-20+jpeg-10"]["bytes_mean"] > 0


def test_a_column_that_is_not_finished_is_named(curves, tmp_path):
    shutil.copytree(curves, tmp_path / "part")
    for file in (tmp_path / "part" / "webp-20").glob("*.parquet"):
        file.unlink()
    table = gather.measured([Dataset(tmp_path / "part")])
    assert "webp-20" not in table["distortion"].to_pylist()
    shutil.rmtree(tmp_path / "part" / "clean")
    with pytest.raises(DatasetError, match="no finished shard"):
        gather.measured([Dataset(tmp_path / "part")])


def test_datasets_of_one_name_are_told_apart_by_their_folders(curves, tmp_path):
    for side in ("left", "right"):
        shutil.copytree(curves, tmp_path / side / "val")
    labels = gather.labelled([Dataset(tmp_path / "left" / "val"), Dataset(tmp_path / "right" / "val")])
    assert list(labels) == ["left/val", "right/val"]
    with pytest.raises(DatasetError, match="given twice"):
        gather.labelled([Dataset(curves), Dataset(curves)])


def test_the_page_says_how_many_pictures_could_not_be_read(tree, tmp_path):
    pictures = shutil.copytree(tree / "animals", tmp_path / "pictures" / "animals")
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    distort.run(tmp_path / "pictures", tmp_path / "val", distortions="jpeg-10", workers=1, max_bad=1)
    (said,) = page.facts(api.collect([tmp_path / "val"]))
    count = len(list(pictures.glob("*")))
    assert f"{count - 1} samples (1 of {count} pictures could not be read), 1 distortions" in said
