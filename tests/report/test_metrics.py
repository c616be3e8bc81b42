"""Metrics that ``distort measure`` has added: in the tables, the curves and the BD-rates."""

import shutil

import numpy as np
import pytest

import distort
from report import contents, gather
from report.figures import FIGURES
from report.tables.metrics import metrics as metrics_table
from report.writing import parts
from shards.dataset import Dataset

pytestmark = pytest.mark.slow

COLUMNS = [f"{codec}-{quality}" for codec, qualities in
           (("jpeg", (5, 10, 30, 75)), ("webp", (5, 20, 50, 80))) for quality in qualities]  # fmt: skip


@pytest.fixture(scope="module")
def root(curves, tmp_path_factory):
    copy = tmp_path_factory.mktemp("metrics") / "curves"
    shutil.copytree(curves, copy)
    distort.measure(copy, metrics="psnr-y,ms-ssim,time", columns=COLUMNS, workers=2)
    return copy


@pytest.fixture(scope="module")
def found(root):
    return contents.collect([Dataset(root)])


def test_means_are_over_all_pictures_and_medians_of_a_sample(found, root):
    rows = {(row["distortion"], row["metric"]): row for row in found.metrics.to_pylist()}
    assert len(rows) == 4 * len(COLUMNS)
    values = np.asarray(Dataset(root).table("jpeg-10", ["psnr-y"])["psnr-y"])
    assert rows["jpeg-10", "psnr-y"]["mean"] == pytest.approx(values.mean())
    assert rows["jpeg-10", "psnr-y"]["samples"] == 24
    times = np.asarray(Dataset(root).parquet("jpeg-10", 0, ["encode-time"])[0]["encode-time"])
    assert rows["jpeg-10", "encode-time"]["median"] == pytest.approx(np.median(times))
    assert rows["jpeg-10", "ms-ssim"]["mean"] is None  # crops of 96 pixels are too small
    assert rows["jpeg-10", "ms-ssim"]["undefined"] == 24


def test_the_table_shows_means_with_deviation_medians_and_the_machine(found):
    table = metrics_table(found)
    assert [column.heading for column in table.columns] == [
        "distortion", "decode (ms)", "encode (ms)", "MS-SSIM", "PSNR-Y (dB)",
    ]  # fmt: skip
    assert "one thread on" in table.note
    line = next(line for line in table.markdown().splitlines() if line.startswith("| jpeg-75 "))
    assert "±" in line.split("|")[-2]
    assert "±" not in line.split("|")[2]


def test_a_metric_has_curves_and_a_bd_rate_with_an_interval_like_psnr(found):
    spec = next(spec for spec in FIGURES if spec.name == "rate-metric")
    drawn = {name: spec.draw(part) for name, part, _ in parts(spec, found) if name != "rate-metric-ms-ssim"}
    assert set(drawn) == {"rate-metric-psnr-y", "rate-metric-encode", "rate-metric-decode"}
    axes = drawn["rate-metric-psnr-y"].axes[0]
    assert axes.get_ylabel() == "mean PSNR-Y (dB)"
    assert any("jpeg-10\nPSNR-Y " in text for _, _, text, _ in axes.hover)
    deltas = {row["quality"]: row for row in found.deltas.to_pylist() if row["test"] == "WebP"}
    assert set(deltas) == {"PSNR", "PSNR-Y", "MS-SSIM"}
    luma = deltas["PSNR-Y"]
    assert luma["bd_rate_low"] < luma["bd_rate"] < luma["bd_rate_high"] < 0
    assert deltas["MS-SSIM"]["bd_rate"] is None


def test_less_is_better_turns_the_sign_of_a_bd_quality(root, monkeypatch):
    """The negative of a metric, called one of which less is better, gives the same deltas."""

    def negative(datasets, measured):
        table, notes = original(datasets, measured)
        rows = [row for row in table.to_pylist() if row["metric"] == "psnr-y"]
        rows = [row | {"mean": -row["mean"], "higher_is_better": False} for row in rows]
        return table.from_pylist(rows, schema=table.schema), notes

    original = contents.metrics.metrics
    plain = contents.collect([Dataset(root)]).deltas.to_pylist()
    monkeypatch.setattr(contents.metrics, "metrics", negative)
    kept = gather.PictureTables.metric
    monkeypatch.setattr(gather.PictureTables, "metric", lambda *place: -kept(*place))
    turned = contents.collect([Dataset(root)]).deltas.to_pylist()
    same = [next(row for row in rows if row["quality"] == "PSNR-Y" and row["test"] == "WebP")
            for rows in (plain, turned)]  # fmt: skip
    for name in ("bd_rate", "bd_rate_low", "bd_quality", "bd_quality_high"):
        assert same[0][name] == pytest.approx(same[1][name])


def test_an_incomplete_or_stale_metric_is_left_out_with_a_note(root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    folder = copy / "jpeg-10" / "metrics" / "psnr-y"
    shutil.copy(copy / "jpeg-30" / "metrics" / "psnr-y" / "000000.parquet", folder / "000000.parquet")
    found = contents.collect([Dataset(copy)])
    assert "jpeg-10" not in {row["distortion"] for row in found.metrics.to_pylist() if row["metric"] == "psnr-y"}
    assert any(note.startswith("psnr-y of jpeg-10 is left out: ") for note in found.notes)
